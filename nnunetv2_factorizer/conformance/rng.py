"""The global random number generators that a training or a user's script has seeded."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed(number: int) -> None:
    """Seeds them all."""
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def states() -> dict[str, object]:
    """What each has come to, by the name of the module; comparable with `==`."""
    numpy_state = np.random.get_state(legacy=False)
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy.random": repr(numpy_state) + numpy_state["state"]["key"].tobytes().hex(),
        "random": random.getstate(),
    }


@contextmanager
def isolated() -> Iterator[None]:
    """Seeds them all inside, and puts them back as they were."""
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        seed(0)
        yield
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
