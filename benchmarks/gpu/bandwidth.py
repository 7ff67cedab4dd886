"""The operators of a block at the stages of a Factorizer, beside a device copy of the bytes that they must move."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from benchmarks.gpu import layers
from benchmarks.gpu.items import Items
from benchmarks.gpu.kernels import uses_triton
from benchmarks.gpu.setting import HALF, SETTING
from benchmarks.gpu.shapes import Case
from benchmarks.measure import device, median_ms

ROUNDS = 20


def run(items: Items) -> None:
    for stage, channels in enumerate(SETTING.factorizer_features):
        items.measure(f"stage {stage}", partial(share, SETTING.patch // 2**stage, channels))
    for stage, channels in enumerate(SETTING.factorizer_features):
        side = SETTING.patch // 2**stage
        items.measure(f"stage {stage}, layers of each voxel", partial(share_of_layers, side, channels))


def share_of_layers(side: int, channels: int) -> dict[str, Any]:
    """Those before and after mixing together."""
    voxels = SETTING.batch * side**3
    both, operators = layers.runs(channels, voxels, HALF)
    return {"volume": [voxels, channels], **_beside_a_copy(operators, both.x.numel()), "triton": both.uses_triton()}


def share(side: int, channels: int) -> dict[str, Any]:
    """Forward must read x and write y, a copy; backward must read grad and x and write dx, one and a half."""
    case = Case((side, side, side), channels, (8, 8, 8), 8, True)
    (grad, x), settings = case.volumes(HALF), case.settings()
    operators = {
        "forward": (1.0, partial(torch.ops.nnunetv2_factorizer.mix, x, *settings)),
        "backward": (1.5, partial(torch.ops.nnunetv2_factorizer.mix_backward, grad, x, *settings)),
    }
    return {"volume": list(x.shape), **_beside_a_copy(operators, x.numel()), "triton": uses_triton(x, settings)}


def _beside_a_copy(operators: Mapping[str, tuple[float, Callable[[], object]]], numbers: int) -> dict[str, Any]:
    """For each operator, with the copies of a volume that move as many bytes."""
    result: dict[str, Any] = {}
    for name, (copies, operator) in operators.items():
        source = torch.empty(int(copies * numbers), dtype=HALF, device=device())
        copy_ms = median_ms(partial(torch.empty_like(source).copy_, source), ROUNDS, alone=True)
        ms = median_ms(operator, ROUNDS, alone=True)
        result[name] = {"ms": round(ms, 4), "copy_ms": round(copy_ms, 4), "share": round(copy_ms / ms, 3)}
    return result
