"""The reference vectors in the repository are what their generator writes."""

import numpy as np
import pytest
import torch

from benchmarks.reference_vectors import VECTORS
from tests.conftest import REFERENCES, relative_error

COMMITTED = REFERENCES["generated"]


def test_each_vector_is_there() -> None:
    assert {path.stem for path in COMMITTED.glob("*.npz")} == set(VECTORS)


@pytest.mark.parametrize("name", VECTORS)
def test_committed_numbers_are_those_of_the_generator(name: str) -> None:
    """But for rounding, which depends on the CPU."""
    committed, generated = np.load(COMMITTED / f"{name}.npz"), VECTORS[name]()
    assert set(committed) == set(generated)
    for key, expected in generated.items():
        assert committed[key].dtype == np.float32
        assert committed[key].shape == expected.shape
        assert relative_error(torch.from_numpy(committed[key]), expected.detach()) < 1e-6, key
