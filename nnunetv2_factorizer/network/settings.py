"""The arguments of a `Factorizer`, checked and spelled out: one `BlockSettings` a stage."""

import pydoc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd

from nnunetv2_factorizer.factorization.checks import check_count
from nnunetv2_factorizer.factorization.solvers import SOLVERS

MATRICIZE = ("swin", "local", "global")
LOCAL_PATHS = ("none", "depthwise")
DOWNSAMPLINGS = ("patch", "separable")
ConvOp = Callable[..., _ConvNd]
"""A convolution class, called with (channels in, channels out, kernel size, ...)."""

TRANSPOSED: dict[Any, ConvOp] = {
    nn.Conv1d: nn.ConvTranspose1d,
    nn.Conv2d: nn.ConvTranspose2d,
    nn.Conv3d: nn.ConvTranspose3d,
}
"""nnU-Net's `conv_op` and the transposed convolution of as many axes; by hand, since this room needs torch alone."""


@dataclass(frozen=True, kw_only=True)
class BlockSettings:
    """What the blocks of one stage have in common. The names are those of `Factorizer`."""

    channels: int
    conv_op: ConvOp
    matricize: str
    size: tuple[int, ...] | None
    """The training patch at this stage, in voxels."""
    window: tuple[int, ...]
    head_dim: int
    rank: int
    num_iters: int
    solver: str
    mlp_ratio: float
    dropout: float
    nmf: bool
    local_path: str
    convolution: bool = False
    """Dense convolutions in place of Factorizer blocks."""
    kernel: tuple[int, ...]
    """Of these convolutions, in voxels an axis."""
    recompute: bool = True

    def __post_init__(self) -> None:
        for name, number in (("features_per_stage", self.channels), ("head_dim", self.head_dim)):
            check_count(name, number)
        for number in self.window:
            check_count("window_size", number)
        check_kernel(self.kernel)
        if self.mlp_ratio < 0:
            raise ValueError(f"mlp_ratio must be 0 (no MLP) or positive, got {self.mlp_ratio}.")
        check_choice("matricize", self.matricize, MATRICIZE)
        check_choice("solver", self.solver, tuple(SOLVERS))
        check_choice("local_path", self.local_path, LOCAL_PATHS)
        if not isinstance(self.recompute, bool):
            raise ValueError(f"recompute must be True or False, got {self.recompute!r}.")
        if self.matricize == "global" and self.size is None:
            raise ValueError("matricize='global' needs patch_size, the size of the training patch in voxels; got None.")
        check_heads(self.channels, self.head_dim)


def parse_shape(n_stages: int, conv_op: str | type[_ConvNd], strides: Any) -> tuple[Any, list[tuple[int, ...]]]:
    """The convolution class and the strides of each stage, one number an axis, from what plans say of a U-shape."""
    if n_stages < 2:
        raise ValueError(f"n_stages must be at least 2, got {n_stages}.")
    conv = parse_conv_op(conv_op)
    return conv, parse_strides(strides, n_stages, {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}[conv])


def parse_conv_op(conv_op: str | type[_ConvNd]) -> Any:
    """`torch.nn.Conv3d` from itself or from its dotted name, as nnU-Net's plans hold it."""
    located: Any = pydoc.locate(conv_op) if isinstance(conv_op, str) else conv_op
    if not isinstance(located, type) or located not in TRANSPOSED:
        raise ValueError(f"conv_op must be torch.nn.Conv1d, Conv2d or Conv3d or its dotted name, got {conv_op!r}.")
    return located


def parse_strides(strides: Any, n_stages: int, num_axes: int) -> list[tuple[int, ...]]:
    """One tuple of strides a stage, from one number a stage or one list of numbers a stage."""
    parsed = [per_axis("strides", s, num_axes) for s in per_stage("strides", strides, n_stages)]
    for stride in parsed:
        for number in stride:
            check_count("strides", number)
    return parsed


def per_stage(name: str, value: Any, n_stages: int) -> list[Any]:
    """`value` once for each stage: a list has one entry a stage already, anything else is repeated."""
    if not isinstance(value, (list, tuple)):
        return [value] * n_stages
    if len(value) != n_stages:
        raise ValueError(f"{name} must be one value or a list of {n_stages}, one a stage, got {list(value)}.")
    return list(value)


def per_axis(name: str, value: Any, num_axes: int) -> tuple[int, ...]:
    """`value` once for each spatial axis: a list has one entry an axis already, a number is repeated."""
    if not isinstance(value, (list, tuple)):
        return (value,) * num_axes
    if len(value) != num_axes:
        raise ValueError(f"{name} must be one number or {num_axes} numbers, one an axis, got {list(value)}.")
    return tuple(value)


def stage_sizes(patch_size: Sequence[int] | None, strides: list[tuple[int, ...]]) -> list[tuple[int, ...] | None]:
    """The spatial size of the patch at each stage, in voxels; None where no patch size is given."""
    if patch_size is None:
        return [None] * len(strides)
    patch_size = per_axis("patch_size", patch_size, len(strides[0]))
    total = [prod(axis) for axis in zip(*strides, strict=True)]
    if any(p % t for p, t in zip(patch_size, total, strict=True)):
        raise ValueError(f"patch_size must be divisible by the product of the strides, {total}, got {patch_size}.")
    sizes: list[tuple[int, ...] | None] = []
    for stride in strides:
        patch_size = tuple(p // s for p, s in zip(patch_size, stride, strict=True))
        sizes.append(patch_size)
    return sizes


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises a ValueError where `value` is not among `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")


def check_kernel(kernel: tuple[int, ...]) -> None:
    """Raises a ValueError where a convolution with this kernel would not keep the size."""
    for number in kernel:
        check_count("kernel_sizes", number)
    if any(number % 2 == 0 for number in kernel):
        raise ValueError(f"kernel_sizes must be odd, so that a convolution keeps the size, got {kernel}.")


def check_heads(channels: int, head_dim: int) -> None:
    """Raises a ValueError where the channels of a stage cannot be cut into heads."""
    if channels % head_dim:
        raise ValueError(
            f"head_dim must divide the channels of its stage, {channels} (features_per_stage), got {head_dim}."
        )
