"""Whether the fused kernels of the mixing layer run on a device and give what PyTorch gives."""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nnunetv2_factorizer.factorization.kernels import fits, heads_of_program, trial


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
    where = (
        f"on {x.device} for windows of {'x'.join(map(str, window))} voxels, "
        f"head_dim {head_dim} and {str(x.dtype).removeprefix('torch.')}"
    )
    return trial.usable(setting, lambda: _results(setting, plain), x.dtype, "the mixing layer", where)


def why_not(setting: Setting, plain: Plain) -> str | None:
    """What goes wrong when the kernels work on a small volume in this setting; None if nothing does."""
    return trial.why_not(setting, lambda: _results(setting, plain), setting.dtype)


def _results(setting: Setting, plain: Plain) -> Iterator[tuple[Tensor, Tensor]]:
    """On a volume of two windows an axis."""
    device, dtype, head_dim, heads, window, shifted, num_iters = setting
    trial.require_tensor_cores(device)
    from nnunetv2_factorizer.factorization.kernels.windows import mix_windows, mix_windows_backward

    generator = torch.Generator().manual_seed(0)  # the user's random numbers stay as they are
    shape = (1, *(2 * p for p in window), heads * head_dim)
    grad, x = (torch.randn(shape, generator=generator).to(device, dtype) for _ in range(2))
    v0 = torch.rand(prod(window), 1, generator=generator).to(device)
    arguments: tuple[Any, ...] = (v0, head_dim, list(window), shifted, num_iters)
    yield mix_windows(x, *arguments), plain.forward(x, *arguments)
    yield mix_windows_backward(grad, x, *arguments), plain.backward(grad, x, *arguments)
