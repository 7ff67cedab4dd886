"""Where nnU-Net looks for trainers that are not its own."""

from importlib.util import find_spec
from pathlib import Path

VARIABLE = "nnUNet_extTrainer"
"""The environment variable that lists the folders."""


def trainers_folder() -> Path:
    """The folder of this package's trainers."""
    spec = find_spec("nnunetv2_factorizer.trainers")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
