"""The grid of a stage over the whole image: one cell for `strides` voxels, as the stage has them in a patch.

Tiles of a sliding window begin at any voxel, so that their cells lie between those of the grid. Linear interpolation
moves them there, and from the grid to the voxels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_factorizer.factorization import resize
from nnunetv2_factorizer.inference.tiles import Region

Strides = tuple[int, ...]
"""Voxels of the image `(*S)` a cell, one an axis."""


def stage_strides(patch: Sequence[int], stage: Sequence[int], axes: int) -> Strides:
    """Those of maps `stage` of a patch, for an image with `axes` axes, of which a network in 2D sees the last two.

    1 along an axis whose voxels do not make whole cells; maps are then to be resized to the patch there.
    """
    strides = [p // s if p % s == 0 else 1 for p, s in zip(patch, stage, strict=True)]
    return (1,) * (axes - len(strides)) + tuple(strides)


def grid_size(image: Sequence[int], strides: Strides) -> tuple[int, ...]:
    """The number of cells that hold all voxels of the image `(*S)`; the last one of an axis may stick out."""
    return tuple(-(-size // stride) for size, stride in zip(image, strides, strict=True))


def onto_grid(tile: Tensor, region: Region, strides: Strides, beyond: float) -> tuple[Tensor, Region]:
    """A tile at the cells of the grid, and which cells these are: all that have a voxel of the tile.

    Args:
        tile: `(*s)` at the resolution of the stage.
        region: its indices in the image `(*S)`.
        strides: of the stage.
        beyond: what follows the first and the last value of an axis: 1, the same value again; 0, nothing.
    """
    cells: list[slice | int] = []
    axis = 0
    for index, stride in zip(region, strides, strict=True):
        if not isinstance(index, slice):  # a slice of the image, which is no axis of the tile
            cells.append(index)
            continue
        first, voxels = divmod(index.start, stride)
        if voxels:
            tile = _moved(tile, axis, voxels / stride, beyond)
        cells.append(slice(first, first + tile.shape[axis]))
        axis += 1
    return tile, tuple(cells)


def to_voxels(image: Tensor, strides: Strides) -> Tensor:
    """A map on the grid, interpolated to all voxels of its cells; `(*S)` or a little more."""
    if all(stride == 1 for stride in strides):
        return image
    size = [cells * stride for cells, stride in zip(image.shape, strides, strict=True)]
    return resize(image[None, None], size)[0, 0]


def _moved(tile: Tensor, axis: int, share: float, beyond: float) -> Tensor:
    """By the share of a cell to higher indices; the tile grows by a cell."""
    length = tile.shape[axis]
    first, last = (beyond * tile.narrow(axis, end, 1) for end in (0, length - 1))
    return (1 - share) * torch.cat([tile, last], axis) + share * torch.cat([first, tile], axis)
