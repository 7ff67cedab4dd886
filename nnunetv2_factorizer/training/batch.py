"""nnU-Net's batches."""

from typing import Any

import torch


def on_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with `data` and `target`, a list with deep supervision, on the device."""
    data, target = batch["data"], batch["target"]
    moved = [t.to(device, non_blocking=True) for t in (target if isinstance(target, list) else [target])]
    target = moved if isinstance(target, list) else moved[0]
    return {**batch, "data": data.to(device, non_blocking=True), "target": target}
