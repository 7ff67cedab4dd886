"""Windows and heads that follow the data."""

from collections.abc import Sequence
from math import log2
from typing import Any

SIDE = 8
"""Voxels of a window along the axis of the finest spacing, and channels of a head: the paper's for patches of 128^3."""


def windows_and_heads(
    spacing: Sequence[float], patch_size: Sequence[int], strides: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """The `window_size` of each stage, and the `head_dim` of all: the same for every patch, so that weights fit.

    Along an axis of larger spacing a window has fewer voxels, so that it is as long in mm: thick slices get flat
    windows, and less so where the strides have evened the spacing out. All sides are powers of 2.

    Args:
        spacing: of the configuration in mm.
        patch_size: in voxels; it does not matter here.
        strides: of each stage, a number or one number an axis.
    """
    windows = []
    for stride in strides:
        per_axis = [stride] * len(spacing) if isinstance(stride, int) else stride
        spacing = [mm * s for mm, s in zip(spacing, per_axis, strict=True)]
        windows.append([_power_of_two(SIDE * min(spacing) / mm) for mm in spacing])
    return {"window_size": windows, "head_dim": SIDE}


def _power_of_two(number: float) -> int:
    """The nearest one, at least 1."""
    return int(2 ** max(0, round(log2(number))))
