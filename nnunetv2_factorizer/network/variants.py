"""The registry of our architectures: trainers, planners, benchmarks and the conformance tests take them from here."""

from typing import Any

VARIANTS: dict[str, dict[str, Any]] = {
    "Swin": {"matricize": "swin", "local_path": "none"},
    "Local": {"matricize": "local", "local_path": "none"},
    "Global": {"matricize": "global", "local_path": "none"},
    "Conv": {"matricize": "swin", "local_path": "depthwise"},
}
"""Name to the arguments of `Factorizer` that make it. A variant is tested (`tests/conformance`) by standing here."""
