"""What several test modules need: where reference numbers and real data are, and the comparison they ask for."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

SHARED = Path(__file__).resolve().parents[2] / "shared"

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Norm of the difference over norm of the expected tensor."""
    difference = torch.linalg.vector_norm(actual.double() - expected.double())
    return (difference / torch.linalg.vector_norm(expected.double())).item()


def load_reference(name: str) -> dict[str, Tensor]:
    """The tensors of `../shared/reference/NAME.npz`; skips the test where the file is missing."""
    path = SHARED / "reference" / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"the reference numbers {path} are not on this machine")
    return {key: torch.from_numpy(value) for key, value in np.load(path).items()}


def real_dataset(name: str) -> Path:
    """The folder `../shared/data/NAME`; skips the test where it is missing."""
    path = SHARED / "data" / name
    if not path.exists():
        pytest.skip(f"the data set {path} is not on this machine")
    return path


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
