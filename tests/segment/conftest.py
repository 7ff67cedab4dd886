"""Small tensors: more than one thread would only wait for the others."""

from collections.abc import Iterator

import pytest

from nnunetv2_factorizer.factorization.threads import one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield
