"""The mixing layer as fused GPU kernels, in Triton, which comes with PyTorch's CUDA build; never needed on a CPU."""

import warnings
from functools import cache
from importlib.util import find_spec
from math import prod

import torch
from torch import Tensor

MAX_TILE = 2**14
"""Numbers of one window and head that fit on chip, 64 KiB in float32: a window of 8^3 with heads of up to 32."""


def fits(x: Tensor, head_dim: int, window: list[int]) -> bool:
    """Whether the kernels can do it: in at most 3D, not in float64, and a window of a head fits on chip."""
    tile = power_of_two(prod(window)) * power_of_two(head_dim)
    return x.dtype != torch.float64 and x.ndim <= 5 and tile <= MAX_TILE


@cache
def available(device: torch.device) -> bool:
    """Whether Triton is there and its kernels run on `device`; warns once where they ought to and do not."""
    if find_spec("triton") is None:
        return False
    from nnunetv2_factorizer.factorization.kernels.windows import mix_windows

    try:
        mix_windows(torch.ones(1, 2, 2, device=device), torch.ones(2, 1, device=device), 2, [2], False, 1)
    except Exception as error:  # Triton compiles here: what can go wrong depends on driver, GPU and C compiler.
        warnings.warn(
            f"Triton's kernels do not run on {device} ({error}); the slower path in PyTorch is taken.", stacklevel=2
        )
        return False
    return True


def power_of_two(number: int) -> int:
    """The next one, since a kernel's tile has such sides."""
    return 1 << (number - 1).bit_length()
