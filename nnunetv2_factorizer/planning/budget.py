"""What fits into the memory of a GPU."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.network.memory import step_memory

GIB = 2**30
CONTEXT_BYTES = GIB // 2
"""What CUDA takes before the first tensor."""
USABLE = 0.9
"""The rest is for what the memory model does not see: cuDNN's workspace, and what the allocator leaves unused."""


class NoPlanError(ValueError):
    """There is no plan; the message is a line of cause and one of remedy."""


class BudgetTooSmallError(NoPlanError):
    """No plan of this preset fits into the memory target."""

    def __init__(self, target_in_gb: float, needed_bytes: int) -> None:
        super().__init__(
            f"nothing fits into a GPU memory target of {target_in_gb:g} GB: the smallest plan of this planner needs "
            f"{needed_gb(needed_bytes):.1f} GB.\nGive that or more: -gpu_memory_target {needed_gb(needed_bytes):.1f}"
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


def peak_of_step(kwargs: dict[str, Any], input_channels: int, num_classes: int, batch_size: int) -> int:
    """Bytes at the peak of a training step on a GPU as nnU-Net does it, in fp16 with deep supervision.

    Args:
        kwargs: arguments of `Factorizer`, `patch_size` among them.
        input_channels: image channels.
        num_classes: output channels.
        batch_size: patches.
    """
    return _peak_of_step(json.dumps(kwargs | {"deep_supervision": True}), input_channels, num_classes, batch_size)


@cache  # nnU-Net's planner asks for the same patch many times while it looks for the spacing of 3d_lowres
def _peak_of_step(kwargs_json: str, input_channels: int, num_classes: int, batch_size: int) -> int:
    kwargs = json.loads(kwargs_json)
    with torch.device("meta"):
        network = Factorizer(input_channels, num_classes, **kwargs)
    return step_memory(network, (batch_size, input_channels, *kwargs["patch_size"]), torch.float16).peak
