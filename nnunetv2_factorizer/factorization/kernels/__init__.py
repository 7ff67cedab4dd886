"""The mixing layer as fused GPU kernels, in Triton, which comes with PyTorch's CUDA build; never needed on a CPU."""

import warnings
from functools import cache
from importlib.util import find_spec
from math import prod

import torch
from torch import Tensor

MAX_TILE = 2**14
"""Numbers of one window and head that fit on chip, 64 KiB in float32: a window of 8^3 with heads of up to 32."""

SECTOR = 32
"""Bytes that a GPU reads at least: a program takes as many heads as fill one at each voxel."""


def usable(x: Tensor, head_dim: int, window: list[int], shifted: bool, num_iters: int) -> bool:
    """Whether the kernels do this work on `x` `(B, *S, C)`: asked by both directions, which get the same answer."""
    if not fits(x, head_dim, window):
        return False
    heads = heads_of_program(x.shape[-1] // head_dim, head_dim, window, x.element_size())
    return available(x.device, x.dtype, head_dim, heads, tuple(window), shifted, num_iters)


def fits(x: Tensor, head_dim: int, window: list[int]) -> bool:
    """Whether it is worth a try: at most 3D, not in float64, and the tile of a window and head is small enough."""
    return x.dtype != torch.float64 and x.ndim <= 5 and _tile_of_head(head_dim, window) <= MAX_TILE


@cache
def available(
    device: torch.device, dtype: torch.dtype, head_dim: int, heads: int, window: tuple[int, ...], shifted: bool,
    num_iters: int,
) -> bool:  # fmt: skip
    """Whether Triton is there and its kernels run, tried once for each setting; warns where they ought to and do not.

    The trial is one window of `heads` heads, what one program takes, forward and backward: whether a tile fits into
    registers and shared memory is known only then.
    """
    if find_spec("triton") is None:
        return False
    try:
        from nnunetv2_factorizer.factorization.kernels.windows import mix_windows, mix_windows_backward

        x = torch.ones(1, *window, heads * head_dim, dtype=dtype, device=device)
        settings = (torch.ones(prod(window), 1, device=device), head_dim, list(window), shifted, num_iters)
        mix_windows(x, *settings)
        mix_windows_backward(x, x, *settings)
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # a launch returns before its kernel has run
    except Exception as error:  # Triton compiles here: what can go wrong depends on driver, GPU and C compiler.
        warnings.warn(
            f"Triton's kernels do not run on {device} for windows of {'x'.join(map(str, window))} voxels, "
            f"head_dim {head_dim} and {str(dtype).removeprefix('torch.')} ({error}); "
            "the slower path in PyTorch is taken for these, forward and backward.",
            stacklevel=2,
        )
        return False
    return True


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
