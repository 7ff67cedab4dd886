"""The mixing layer as fused GPU kernels, in Triton, which comes with PyTorch's CUDA build; never needed on a CPU."""

from math import prod

import torch
from torch import Tensor

MAX_TILE = 2**14
"""Numbers of one window and head that fit on chip, 64 KiB in float32: a window of 8^3 with heads of up to 32."""

SECTOR = 32
"""Bytes that a GPU reads at least: a program takes as many heads as fill one at each voxel."""


def fits(x: Tensor, head_dim: int, window: list[int]) -> bool:
    """Whether it is worth a try: at most 3D, not in float64, and the tile of a window and head is small enough."""
    return x.dtype != torch.float64 and x.ndim <= 5 and _tile_of_head(head_dim, window) <= MAX_TILE


def heads_of_program(num_heads: int, head_dim: int, window: list[int], element_size: int) -> int:
    """Heads that one program takes, a power of two: as many as fill a sector, if there are so many and they fit."""
    return min(
        power_of_two(max(1, SECTOR // (head_dim * element_size))),
        power_of_two(num_heads),
        max(1, MAX_TILE // _tile_of_head(head_dim, window)),
    )


def _tile_of_head(head_dim: int, window: list[int]) -> int:
    """Numbers of one window and head on chip."""
    return power_of_two(prod(window)) * power_of_two(head_dim)


def power_of_two(number: int) -> int:
    """The next one, since a kernel's tile has such sides."""
    return 1 << (number - 1).bit_length()
