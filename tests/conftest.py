"""What several test modules need: where reference numbers and real data are, and the comparison they ask for."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

SHARED = Path(__file__).resolve().parents[2] / "shared"
REFERENCES = {"generated": Path(__file__).parent / "reference", "published": SHARED / "reference"}

LoadReference = Callable[[str], dict[str, Tensor]]

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Norm of the difference over norm of the expected tensor."""
    difference = torch.linalg.vector_norm(actual.double() - expected.double())
    return (difference / torch.linalg.vector_norm(expected.double())).item()


@pytest.fixture(params=REFERENCES)
def load_reference(request: pytest.FixtureRequest) -> LoadReference:
    """Gives the tensors of `NAME.npz`: once those of the plain formulation, once those of the original implementation.

    The first are in the repository, made by `python -m benchmarks.reference_vectors tests/reference`. The second, in
    `../shared/reference`, are larger; where they are missing, their half of the tests skips.
    """
    folder = REFERENCES[request.param]
    if request.param == "published" and not folder.exists():
        pytest.skip(f"the published numbers {folder} are not on this machine")
    return lambda name: {key: torch.from_numpy(value) for key, value in np.load(folder / f"{name}.npz").items()}


def real_dataset(name: str) -> Path:
    """The folder `../shared/data/NAME`; skips the test where it is missing."""
    path = SHARED / "data" / name
    if not path.exists():
        pytest.skip(f"the data set {path} is not on this machine")
    return path


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
