"""Whether the fused kernels run on a device and give what PyTorch gives: tried once for each setting."""

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nnunetv2_factorizer.factorization.kernels import fits, heads_of_program

TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}
"""Largest relative error of a trial, in the norm: what rounding accounts for, several times over."""

TENSOR_CORES = (8, 0)
"""The compute capability from which on Triton multiplies matrices on tensor cores: Ampere's."""


class Setting(NamedTuple):
    """What a kernel is compiled for."""

    device: torch.device
    dtype: torch.dtype
    head_dim: int
    heads: int
    """That one program takes."""
    window: tuple[int, ...]
    shifted: bool
    num_iters: int


class Plain(NamedTuple):
    """The same work in PyTorch, with the arguments of `mix_windows` and `mix_windows_backward`."""

    forward: Callable[..., Tensor]
    backward: Callable[..., Tensor]


tried: dict[Setting, str | None] = {}
"""Why the kernels cannot be used for a setting; None where they can."""


def usual_setting(device: torch.device) -> Setting:
    """What nnU-Net trains a Factorizer with: fp16, windows of 8^3 voxels, heads of 8 channels, two grids."""
    return Setting(device, torch.float16, 8, heads_of_program(4, 8), (8, 8, 8), True, 5)


def usable(x: Tensor, head_dim: int, window: list[int], shifted: bool, num_iters: int, plain: Plain) -> bool:
    """Whether the kernels do this work on `x` `(B, *S, C)`; warns once for each setting where they ought to and do not.

    Forward and backward pass ask alike and get the same answer.
    """
    if not fits(x, head_dim, window, num_iters):
        return False
    heads = heads_of_program(x.shape[-1] // head_dim, head_dim)
    setting = Setting(x.device, x.dtype, head_dim, heads, tuple(window), shifted, num_iters)
    if setting not in tried and find_spec("triton") is None:
        tried[setting] = "Triton is not installed"
    if setting in tried:
        return tried[setting] is None
    reason = why_not(setting, plain)
    if reason is not None:
        warnings.warn(
            f"Triton's kernels do not run on {x.device} for windows of {'x'.join(map(str, window))} voxels, "
            f"head_dim {head_dim} and {str(x.dtype).removeprefix('torch.')} ({reason}); "
            "the slower path in PyTorch is taken for these, forward and backward.",
            stacklevel=2,
        )
    return reason is None


def why_not(setting: Setting, plain: Plain) -> str | None:
    """What goes wrong when the kernels work on a volume of two windows an axis; None if nothing does.

    They are waited for, and compared with PyTorch in both directions: whether a tile fits into registers and shared
    memory, and whether driver and compiler are right, is known only then. What a full memory prevents is tried again.
    """
    device, dtype, head_dim, heads, window, shifted, num_iters = setting
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < TENSOR_CORES:
        tried[setting] = f"they need a GPU of compute capability {'.'.join(map(str, TENSOR_CORES))} or more"
        return tried[setting]
    generator = torch.Generator().manual_seed(0)  # the user's random numbers stay as they are

    def volume() -> Tensor:
        shape = (1, *(2 * p for p in window), heads * head_dim)
        return torch.randn(shape, generator=generator).to(device, dtype)

    try:
        from nnunetv2_factorizer.factorization.kernels.windows import mix_windows, mix_windows_backward

        grad, x = volume(), volume()
        v0 = torch.rand(prod(window), 1, generator=generator).to(device)
        arguments: tuple[Any, ...] = (v0, head_dim, list(window), shifted, num_iters)
        errors = (
            _relative_error(mix_windows(x, *arguments), plain.forward(x, *arguments)),
            _relative_error(mix_windows_backward(grad, x, *arguments), plain.backward(grad, x, *arguments)),
        )
    except torch.OutOfMemoryError as error:
        return str(error)
    except Exception as error:  # Triton compiles here: what can go wrong depends on driver, GPU and C compiler.
        tried[setting] = str(error) or type(error).__name__
        return tried[setting]
    tried[setting] = None
    if not all(error <= TOLERANCE[dtype] for error in errors):  # nor where one is NaN
        tried[setting] = (
            f"their numbers are not PyTorch's: relative errors {errors[0]:.1e} forward, {errors[1]:.1e} back"
        )
    return tried[setting]


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    """Waits for the device."""
    return float((actual.float() - expected.float()).norm() / expected.float().norm())
