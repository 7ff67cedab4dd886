"""What fits into the memory of a GPU."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.families import Family
from nnunetv2_factorizer.network.memory import step_memory

GIB = 2**30
CONTEXT_BYTES = GIB // 2
"""What CUDA takes before the first tensor."""
USABLE = 0.9
"""The rest is for what the memory model does not see: cuDNN's workspace, and what the allocator leaves unused."""


def budget_too_small(target_in_gb: float, needed_bytes: int) -> UserError:
    """What to say where no plan of a preset fits into the memory target."""
    needed = needed_gb(needed_bytes)
    return UserError(
        f"nothing fits into a GPU memory target of {target_in_gb:g} GB: the smallest plan of this planner needs "
        f"{needed:.1f} GB.",
        f"Give that or more: -gpu_memory_target {needed:.1f}",
    )


def usable_bytes(target_in_gb: float) -> int:
    """What of a GPU's memory, in GB as on its box (2^30 bytes), a training step can have."""
    return int(target_in_gb * GIB * USABLE) - CONTEXT_BYTES


def needed_gb(peak_bytes: int) -> float:
    """The smallest memory target that has so many usable bytes, in GB, rounded up to a tenth."""
    return -(-(peak_bytes + CONTEXT_BYTES) * 10 // int(GIB * USABLE)) / 10


def largest_batch(peak: Callable[[int], int], limit: int, budget: int) -> int:
    """The largest batch size up to `limit` whose peak is within the budget, in bytes; 0 where not even one is."""
    too_large = 1
    while too_large <= limit and peak(too_large) <= budget:
        too_large *= 2
    fits, too_large = too_large // 2, min(too_large, limit + 1)
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        fits, too_large = (middle, too_large) if peak(middle) <= budget else (fits, middle)
    return fits


def peak_of_step(
    family: Family, kwargs: dict[str, Any], patch_size: Sequence[int], input_channels: int, num_classes: int, batch: int
) -> int:
    """Bytes at the peak of a training step on a GPU as nnU-Net does it, in fp16 with deep supervision.

    Args:
        family: of the network.
        kwargs: its arguments.
        patch_size: in voxels.
        input_channels: image channels.
        num_classes: output channels.
        batch: patches.
    """
    arguments = json.dumps(kwargs | {"deep_supervision": True})
    shape = (batch, input_channels, *patch_size)
    return _peak_of_step(family.class_name, arguments, family.kw_requires_import, shape, num_classes)


@cache  # nnU-Net's planner asks for the same patch many times while it looks for the spacing of 3d_lowres
def _peak_of_step(
    class_name: str,
    kwargs_json: str,
    imports: tuple[str, ...],
    input_shape: tuple[int, ...],
    num_classes: int,
) -> int:
    with torch.device("meta"):
        network = get_network_from_plans(class_name, json.loads(kwargs_json), imports, input_shape[1], num_classes)
    return step_memory(network, input_shape, torch.float16).peak
