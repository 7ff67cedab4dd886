"""Fifty steps of a small Factorizer from one seed, compiled or not, in half precision or float32: their losses."""

from functools import partial
from typing import Any

import torch

from benchmarks.gpu.items import Items
from benchmarks.gpu.nnunet_step import Training
from benchmarks.gpu.setting import CHANNELS, GPU, HALF, images
from benchmarks.measure import device
from benchmarks.networks import factorizer

STEPS = 50 if GPU else 10
FEATURES, PATCH, BATCH = ((32, 64, 128, 256), 64, 2) if GPU else ((8, 16), 8, 1)


def run(items: Items) -> None:
    items.measure("half compiled", partial(losses, True, HALF))
    items.measure("half eager", partial(losses, False, HALF))
    items.measure("float32 eager", partial(losses, False, torch.float32))


def losses(is_compiled: bool, dtype: torch.dtype) -> dict[str, Any]:
    torch.manual_seed(0)
    network = factorizer("Conv", CHANNELS, FEATURES, [PATCH] * 3, deep_supervision=True).to(device())
    training = Training(network, images(BATCH, PATCH), is_compiled, dtype)
    curve = [training.step() for _ in range(STEPS)]
    return {"dtype": str(dtype).removeprefix("torch."), "losses": curve, "scale": training.scaler.get_scale()}
