"""What the numbers are measured on: the first line of the file."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from benchmarks.gpu.items import Items
from benchmarks.measure import machine
from nnunetv2_factorizer import CLONE, DISTRIBUTION

PACKAGES = ("triton", "nnunetv2", "dynamic_network_architectures", DISTRIBUTION)


def run(items: Items) -> None:
    items.measure("machine", describe)


def describe() -> dict[str, Any]:
    of_gpu: dict[str, Any] = {"gpu": None}
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        of_gpu = {
            "gpu": gpu.name,
            "capability": f"{gpu.major}.{gpu.minor}",
            "memory_gib": round(gpu.total_memory / 2**30, 1),
            "driver": _printed("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"),
            "cudnn": torch.backends.cudnn.version(),
        }
    return {
        "machine": machine(),
        **of_gpu,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: _version(name) for name in PACKAGES},
        "commit": _printed("git", "-C", str(CLONE), "rev-parse", "--short", "HEAD"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _printed(*command: str) -> str:
    """What a command prints, or that it could not."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
