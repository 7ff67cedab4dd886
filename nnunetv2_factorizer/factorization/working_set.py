"""How much of a volume is worked on at a time, a chunk: on a CPU what its cache holds, on a GPU what keeps it busy."""

from math import prod

from torch import Tensor

VOXEL_NUMBERS = {"cpu": 2**18, "cuda": 2**24}
"""Numbers of the input of layers that work on each voxel alone; what they make in between is many times that."""

WINDOW_NUMBERS = {"cpu": 2**19, "cuda": 2**24}
"""Numbers of the windows that are factorized together."""


def numbers_in_chunk(numbers: dict[str, int], device_type: str) -> int:
    """The entry of a table above; devices other than a GPU are treated as a CPU."""
    return numbers.get(device_type, numbers["cpu"])


def row_chunks(rows: Tensor, numbers: dict[str, int], device_type: str | None = None) -> list[slice]:
    """Slices of the first axis of `(rows, ...)` that have about so many numbers, at least a row each.

    Args:
        rows: what is worked on.
        numbers: one of the tables above.
        device_type: whose chunks they are, default those of the device that the rows are on.
    """
    step = max(1, numbers_in_chunk(numbers, device_type or rows.device.type) // max(1, prod(rows.shape[1:])))
    return [slice(start, start + step) for start in range(0, len(rows), step)]
