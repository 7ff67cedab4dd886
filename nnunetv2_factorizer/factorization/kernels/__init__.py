"""The mixing layer as fused GPU kernels, in Triton, which comes with PyTorch's CUDA build; never needed on a CPU."""

from math import prod

import torch
from torch import Tensor

CHANNELS = 32
"""That one program takes, of one or more heads: `K = X X^T` of all of them is one product of matrices on chip."""

MAX_WINDOW = 2**15
"""Voxels of a window; with a larger one a few programs work and the rest of the GPU waits."""

MAX_ITERS = 16
"""Iterations, which are written one after the other; the vector they make stays in the range of float32."""


def fits(x: Tensor, head_dim: int, window: list[int], num_iters: int) -> bool:
    """Whether it is worth a try: at most 3D, not in float64, and nothing is too large."""
    small = head_dim <= CHANNELS and prod(window) <= MAX_WINDOW and num_iters <= MAX_ITERS
    return small and x.dtype != torch.float64 and x.ndim <= 5


def heads_of_program(num_heads: int, head_dim: int) -> int:
    """As many as have `CHANNELS`."""
    return min(num_heads, CHANNELS // head_dim)


def power_of_two(number: int) -> int:
    """The next one, since a kernel's tile has such sides."""
    return 1 << (number - 1).bit_length()
