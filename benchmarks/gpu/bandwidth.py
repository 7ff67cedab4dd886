"""The mixing operators at the stages of a Factorizer, beside a device copy of the bytes that they must move."""

from functools import partial
from typing import Any

import torch

from benchmarks.gpu.items import Items
from benchmarks.gpu.kernels import uses_triton
from benchmarks.gpu.setting import HALF, SETTING
from benchmarks.gpu.shapes import Case
from benchmarks.measure import device, median_ms

ROUNDS = 20


def run(items: Items) -> None:
    for stage, channels in enumerate(SETTING.factorizer_features):
        items.measure(f"stage {stage}", partial(share, SETTING.patch // 2**stage, channels))


def share(side: int, channels: int) -> dict[str, Any]:
    """Forward must read x and write y, a copy; backward must read grad and x and write dx, one and a half."""
    case = Case((side, side, side), channels, (8, 8, 8), 8, True)
    (grad, x), settings = case.volumes(HALF), case.settings()
    operators = {
        "forward": (1.0, partial(torch.ops.nnunetv2_factorizer.mix, x, *settings)),
        "backward": (1.5, partial(torch.ops.nnunetv2_factorizer.mix_backward, grad, x, *settings)),
    }
    result: dict[str, Any] = {}
    for name, (copies, operator) in operators.items():
        source = torch.empty(int(copies * x.numel()), dtype=HALF, device=device())
        copy_ms = median_ms(partial(torch.empty_like(source).copy_, source), ROUNDS, alone=True)
        ms = median_ms(operator, ROUNDS, alone=True)
        result[name] = {"ms": round(ms, 4), "copy_ms": round(copy_ms, 4), "share": round(copy_ms / ms, 3)}
    return {"volume": list(x.shape), **result, "triton": uses_triton(x, settings)}
