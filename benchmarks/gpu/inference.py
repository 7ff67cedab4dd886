"""A tile of nnU-Net's sliding window: ms under autocast, compiled and not, the peak of memory, and what is kept."""

from functools import partial
from typing import Any

import torch

from benchmarks.gpu.items import Items
from benchmarks.gpu.setting import GPU, HALF, NETWORKS, SETTING, build, compiled, images
from benchmarks.gpu.steps import release
from benchmarks.measure import device, forward, median_ms, mib_kept, peak_mib

ROUNDS = 10 if GPU else 2


def run(items: Items) -> None:
    torch.backends.cudnn.benchmark = True
    for is_compiled in (False, True):
        for name in NETWORKS:
            items.measure(f"{name}, {'compiled' if is_compiled else 'eager'}", partial(tile, name, is_compiled))
            release()


def tile(name: str, is_compiled: bool) -> dict[str, Any]:
    """What is kept, MiB, is for the backward pass of a training with this one tile, not compiled."""
    network, x = build(name, deep_supervision=False).to(device()).eval(), images(1, SETTING.patch)
    run: Any = compiled(network) if is_compiled else network
    peak = peak_mib(partial(forward, run, x))
    result = {"ms": round(median_ms(partial(forward, run, x), ROUNDS), 3), "peak_mib": round(peak, 1)}
    if not is_compiled:
        with torch.autocast(x.device.type, HALF):
            result["kept_mib"] = round(mib_kept(network, x), 1)
    return result
