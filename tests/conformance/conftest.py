"""Networks here are so small that a second thread would cost more than it does."""

from collections.abc import Iterator

import pytest

from nnunetv2_factorizer.factorization.threads import one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield
