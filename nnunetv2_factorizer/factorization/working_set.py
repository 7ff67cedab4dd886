"""How much of a volume is worked on at a time: on a CPU what its cache holds, on a GPU what keeps it busy."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod

from torch import Tensor

STRETCH_NUMBERS = {"cpu": 2**18, "cuda": 2**24}
"""Numbers of the input of layers that work on each voxel alone; what they make in between is many times that."""

CHUNK_NUMBERS = {"cpu": 2**19, "cuda": 2**24}
"""Numbers of the windows that are factorized together."""

_counted_for: ContextVar[str | None] = ContextVar("counted_for", default=None)


@contextmanager
def counting_for(device_type: str) -> Iterator[None]:
    """For counting the memory of another machine with fake tensors: portions are those of its device.

    Only two portions of each volume are worked on, the second while the results of the first are still there: the
    others would take the same memory again.
    """
    token = _counted_for.set(device_type)
    try:
        yield
    finally:
        _counted_for.reset(token)


def numbers_at_a_time(numbers: dict[str, int], x: Tensor) -> int:
    """The entry of a table above for the device of `x`; other devices are treated as a CPU."""
    return numbers.get(_counted_for.get() or x.device.type, numbers["cpu"])


def stretches(rows: Tensor, numbers: dict[str, int]) -> list[slice]:
    """Slices of the first axis of `(rows, ...)` that have about so many numbers, at least a row each."""
    step = max(1, numbers_at_a_time(numbers, rows) // max(1, prod(rows.shape[1:])))
    end = len(rows) if _counted_for.get() is None else min(len(rows), 2 * step)
    return [slice(start, start + step) for start in range(0, end, step)]
