"""An image whose appearance is changed, so that a network can be asked what it was.

What POPAR takes from Models Genesis (Zhou et al., Medical Image Analysis 67, 2021), whose probabilities and sizes are
kept: local shuffling of voxels, a monotone curve of intensities, inner or outer cut-outs filled with noise. Ours: the
curve is a cubic in closed form, and the windows of the shuffling form a grid, where there thousands are drawn.

Every function takes one image `(C, *S)` of any intensities and draws from the generator of its device.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nnunetv2_factorizer.pretraining.blocks import join_blocks, split_blocks

SHUFFLED, CURVED, CUT_OUT, INNER = 0.5, 0.9, 0.9, 0.2
"""Probabilities, the last one that a cut-out is an inner one."""

WINDOWS = 20
"""About so many windows of the shuffling are in a row on each axis."""

BOXES = 5
INNER_SIDES, OUTER_SIDES = (1 / 6, 1 / 3), (3 / 7, 4 / 7)
"""Least and largest side of a box, of the side of the image."""


def transformed(image: Tensor, inside: Tensor) -> Tensor:
    """The changed image; nothing changes where the mask `inside`, `(1, *S)`, is False."""
    changed = image
    if _happens(SHUFFLED, image):
        changed = locally_shuffled(changed)
    if _happens(CURVED, image):
        changed = curved(changed)
    if _happens(CUT_OUT, image):
        changed = cut_out(changed, _happens(INNER, image))
    return torch.where(inside, changed, image)


def locally_shuffled(image: Tensor) -> Tensor:
    """In each window of a grid the voxels in random order, with all their channels."""
    size = image.shape[1:]
    side = [min(voxels, max(2, round(voxels / WINDOWS))) for voxels in size]
    grid = [voxels // s for voxels, s in zip(size, side, strict=True)]
    covered: tuple[Any, ...] = (..., *(slice(number * s) for number, s in zip(grid, side, strict=True)))
    windows = split_blocks(image[covered][None], grid)
    voxels = windows.flatten(3)
    order = torch.rand_like(voxels[:, :, :1], dtype=torch.float32).argsort(dim=-1).expand_as(voxels)
    result = image.clone()
    result[covered] = join_blocks(voxels.gather(3, order).view(windows.shape), grid)[0]
    return result


def curved(image: Tensor) -> Tensor:
    """Of each channel the range [0, 1] is mapped by a random monotone curve; half of the curves fall.

    `f(t) = 3 (1 - t)^2 t y1 + 3 (1 - t) t^2 y2 + t^3`, a Bezier curve that rises because of `0 <= y1 <= y2 <= 1`.
    """
    low, high = _range(image)
    width = (high - low).clamp_min(torch.finfo(image.dtype).tiny)
    t = (image - low) / width
    y1, y2 = torch.rand(2, *low.shape, device=image.device).sort(dim=0).values
    y = 3 * (1 - t) ** 2 * t * y1 + 3 * (1 - t) * t**2 * y2 + t**3
    falls = torch.rand(low.shape, device=image.device) < 0.5
    return low + width * torch.where(falls, 1 - y, y)


def cut_out(image: Tensor, inner: bool) -> Tensor:
    """Noise in some boxes, or everywhere else, as intense as the image."""
    boxes = random_boxes(image.shape[1:], BOXES, INNER_SIDES if inner else OUTER_SIDES, image.device)
    low, high = _range(image)
    noise = low + (high - low) * torch.rand_like(image)
    return torch.where(boxes if inner else ~boxes, noise, image)


def random_boxes(size: Sequence[int], number: int, sides: tuple[float, float], device: torch.device) -> Tensor:
    """A mask `(*S)` that is True in boxes at random places, whose sides are shares of `size` between the two given."""
    least, most = sides
    boxes = torch.ones(number, *[1] * len(size), dtype=torch.bool, device=device)
    for axis, voxels in enumerate(size):
        side = voxels * (least + (most - least) * torch.rand(number, 1, device=device))
        start = (voxels - side) * torch.rand(number, 1, device=device)
        middle = torch.arange(voxels, device=device) + 0.5
        along = (start <= middle) & (middle < start + side)
        boxes = boxes & along.view(number, *(voxels if i == axis else 1 for i in range(len(size))))
    return boxes.any(dim=0)


def _happens(probability: float, image: Tensor) -> bool:
    return bool(torch.rand((), device=image.device) < probability)


def _range(image: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest intensity of each channel."""
    axes = tuple(range(1, image.ndim))
    return image.amin(axes, keepdim=True), image.amax(axes, keepdim=True)
