"""Windows and heads that follow the data."""

from collections.abc import Sequence
from math import log2

PATCH_OVER_WINDOW = 16
"""The paper's patches of 128 voxels have windows of 8, those of 64 have windows of 4."""

SMALLEST, LARGEST = 4, 8
"""Voxels of a window along the axes of the finest spacing; the paper tried no others."""


def windows_and_heads(
    spacing: Sequence[float], patch_size: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[list[list[int]], int]:
    """The `window_size` of each stage, and the `head_dim` of all.

    The longest axis of the patch decides on the side of the windows, and the head dimension is the same number, as in
    the paper. Along an axis of larger spacing a window has fewer voxels, so that it is as long in mm: thick slices get
    flat windows, and less so where the strides have evened the spacing out. All sides are powers of 2.

    Args:
        spacing: of the configuration in mm.
        patch_size: in voxels.
        strides: of each stage, one number an axis.
    """
    side = min(max(_power_of_two(max(patch_size) / PATCH_OVER_WINDOW), SMALLEST), LARGEST)
    windows = []
    spacing = list(spacing)
    for stride in strides:
        spacing = [mm * s for mm, s in zip(spacing, stride, strict=True)]
        windows.append([_power_of_two(side * min(spacing) / mm) for mm in spacing])
    return windows, side


def _power_of_two(number: float) -> int:
    """The nearest one, at least 1."""
    return int(2 ** max(0, round(log2(number))))
