"""A patch as blocks of equal size."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def block_size(patch_size: Sequence[int], number: int) -> tuple[int, ...]:
    """The sides in voxels of blocks of which about `number` are in a row on the longest axis, alike on every axis.

    Where an axis of the patch is shorter than that, the block is as long as the axis.
    """
    side = max(1, round(max(patch_size) / number))
    return tuple(min(side, voxels) for voxels in patch_size)


def random_blocks(shape: Sequence[int], block: Sequence[int], share: float, device: torch.device) -> Tensor:
    """Masks `(B, 1, *S)` that are True in a share of the blocks, the same number in each, at random places.

    Args:
        shape: `(B, C, *S)` of a batch; at the far ends of its axes blocks may be cut off.
        block: sides of a block in voxels.
        share: between 0 and 1.
        device: of the masks.
    """
    batch, size = shape[0], shape[2:]
    grid = [-(-voxels // side) for voxels, side in zip(size, block, strict=True)]
    order = torch.rand(batch, torch.Size(grid).numel(), device=device).argsort(dim=1)
    chosen = (order < round(share * order.shape[1])).view(batch, 1, *grid)
    for axis, side in enumerate(block):
        chosen = chosen.repeat_interleave(side, dim=axis + 2)
    inside: tuple[Any, ...] = (..., *(slice(voxels) for voxels in size))
    return chosen[inside]


def divisions(size: Sequence[int], most: int) -> tuple[int, ...]:
    """For each axis of `size` the largest number up to `most` that divides it: so many blocks of equal size."""
    return tuple(max(number for number in range(1, most + 1) if voxels % number == 0) for voxels in size)


def split_blocks(image: Tensor, grid: Sequence[int]) -> Tensor:
    """`(B, C, *S)` as its blocks `(B, n, C, *S / grid)`, row by row; `grid` is their number on each axis."""
    axes = len(grid)
    for axis in reversed(range(axes)):
        image = image.unflatten(axis + 2, (grid[axis], -1))
    of_grid, of_block = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
    return image.permute(0, *of_grid, 1, *of_block).flatten(1, axes)


def join_blocks(blocks: Tensor, grid: Sequence[int]) -> Tensor:
    """The image of its blocks, the inverse of `split_blocks`."""
    axes = len(grid)
    pairs = [axis for pair in zip(range(1, axes + 1), range(axes + 2, 2 * axes + 2), strict=True) for axis in pair]
    image = blocks.unflatten(1, tuple(grid)).permute(0, axes + 1, *pairs)
    for axis in range(2, 2 + axes):
        image = image.flatten(axis, axis + 1)
    return image
