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


class BudgetTooSmallError(ValueError):
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
    """The largest batch size up to `limit` whose peak is within the budget, in bytes; 0 where not even one is.

    Every further patch takes the same memory, so that two batch sizes tell the rest.
    """
    if peak(limit) <= budget:
        return limit
    two, three = peak(2), peak(3)
    batch_size = min(limit, 2 + (budget - two) // max(1, three - two))
    while batch_size > 0 and peak(batch_size) > budget:
        batch_size -= 1
    return max(0, batch_size)


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
