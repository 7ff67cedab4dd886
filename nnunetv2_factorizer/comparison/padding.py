"""Zeros around a patch, for networks that halve it more often, or in other steps, than nnU-Net's plan does (ours)."""

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_factorizer.errors import UserError

Size = tuple[int, ...]


def padded_size(size: Sequence[int], multiple: int, lowest_voxels: int = 1) -> Size:
    """The smallest size that a network can take, in voxels an axis.

    Args:
        size: of the patch.
        multiple: that each axis must be divisible by; so often the network lowers the resolution in all.
        lowest_voxels: that must be left at its lowest resolution. The last axis is lengthened for that.
    """
    padded = [-(-voxels // multiple) * multiple for voxels in size]
    padded[-1] = max(padded[-1], multiple * -(-lowest_voxels * multiple ** (len(size) - 1) // prod(padded[:-1])))
    return tuple(padded)


def pad(x: Tensor, size: Size) -> Tensor:
    """`(B, C, *S)` with zeros at the far end of each axis: so coarser grids begin at the same corner as finer ones."""
    missing = [after - before for before, after in zip(x.shape[2:], size, strict=True)]
    return functional.pad(x, [n for axis in reversed(missing) for n in (0, axis)]) if any(missing) else x


def crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """The part of `(B, C, *S)` without the padding."""
    index: tuple[Any, ...] = (..., *(slice(voxels) for voxels in size))
    return x[index]


def check_patch(name: str, patch_size: Sequence[int], strides: Sequence[Sequence[int]], dimensions: Size) -> None:
    """Checks that a network can be made for a patch, padded or not.

    Args:
        name: of the network, for the message.
        patch_size: in voxels.
        strides: between the image and the coarsest output, one number an axis; empty without deep supervision.
        dimensions: numbers of axes that the network can have.

    Raises:
        UserError: it cannot.
    """
    if len(patch_size) not in dimensions:
        raise UserError(
            f"{name} is a network for {' and '.join(f'{n}D' for n in dimensions)} patches, got {times(patch_size)}.",
            "Train a 3D configuration with it (3d_fullres or 3d_lowres). Networks for 2D are UNETR, SwinUNETR, "
            "MedNeXt, and all those in the U-shape of the Factorizer.",
        )
    if any(len(stride) != len(patch_size) for stride in strides):
        raise UserError(
            f"{name}: patch_size {list(patch_size)} and strides {[list(stride) for stride in strides]} have different "
            "numbers of axes.",
            "Take both from one configuration of the plans.",
        )
    smallest = [prod(stride[axis] for stride in strides) for axis in range(len(patch_size))]
    if any(voxels < 1 or voxels % total for voxels, total in zip(patch_size, smallest, strict=True)):
        raise UserError(
            f"{name} cannot take a patch of {times(patch_size)} voxels, padded or not: by the strides of the plan its "
            f"coarsest output has a voxel for {times(smallest)} of the image.",
            f"The smallest patch is {times(smallest)}, others are multiples of it: mend patch_size in the plans.",
        )


@cache  # once for a network and a patch, however often it is built
def tell(name: str, size: Size, padded: Size, multiple: int, lowest_voxels: int) -> None:
    """Prints what the padding costs, and which patch of about the same size does without."""
    nearest = [max(1, round(voxels / multiple)) * multiple for voxels in size]
    free = padded_size(nearest, multiple, lowest_voxels)
    print(
        f"{name} pads each patch of {times(size)} voxels with zeros to {times(padded)}: {prod(size)} to {prod(padded)} "
        f"voxels, {prod(padded) / prod(size):.2f} times the work and the memory. Patches of {times(free)} would need "
        'no padding: "patch_size" in a copy of the plans.'
    )


def is_planning() -> bool:
    """Whether a network is made without numbers, to count its memory: planners do so with many patches."""
    return torch.get_default_device().type == "meta"


def times(numbers: Sequence[int]) -> str:
    """Such as 40x56x40."""
    return "x".join(map(str, numbers))
