"""The mixing layer as fused GPU kernels, in Triton, which comes with PyTorch's CUDA build; never needed on a CPU."""

from importlib.util import find_spec
from math import prod

import torch
from torch import Tensor

MAX_TILE = 2**14
"""Numbers of one window and head that fit on chip, 64 KiB in float32: a window of 8^3 with heads of up to 32."""


def fits(x: Tensor, head_dim: int, window: list[int]) -> bool:
    """Whether the kernels can do it: Triton is there, not in float64, and a window of a head fits on chip."""
    tile = _power_of_two(prod(window)) * _power_of_two(head_dim)
    return find_spec("triton") is not None and x.dtype != torch.float64 and x.ndim <= 5 and tile <= MAX_TILE


def _power_of_two(number: int) -> int:
    """The next one, since a kernel's tile has such sides."""
    return 1 << (number - 1).bit_length()
