"""Seconds, memory, recompilations and kernels of nnU-Net's training step, of each network, compiled and not."""

import gc
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch._dynamo.utils import counters
from torch.autograd import DeviceType

from benchmarks.gpu.items import Items
from benchmarks.gpu.nnunet_step import Training
from benchmarks.gpu.setting import BACKEND, CHANNELS, GPU, HALF, NETWORKS, SETTING, build, images
from benchmarks.measure import device, median_ms, synchronise
from nnunetv2_factorizer.network.memory import step_memory

DTYPE = HALF if GPU else torch.float32
"""nnU-Net has no autocast on a CPU."""
ROUNDS = 10 if GPU else 2
TOP = 15
TRAINED = (*NETWORKS, "Hybrid, not recomputed") if GPU else NETWORKS
"""Whether a compiled network should keep everything where there is memory for it, only a GPU can say."""


def run(items: Items) -> None:
    torch.backends.cudnn.benchmark = True  # as nnU-Net
    for name in TRAINED:
        for is_compiled in (True, False):
            start = cache(partial(_start, name, is_compiled))
            key = f"{name}, {'compiled' if is_compiled else 'eager'}"
            items.measure(key, partial(cost, name, is_compiled, start))
            items.measure(f"{key}, kernels", partial(top_kernels, start))
            start.cache_clear()
            release()


def cost(name: str, is_compiled: bool, start: Callable[[], Training]) -> dict[str, Any]:
    """Of the step of a network that `start` gives."""
    held = _mib(torch.cuda.memory_allocated)
    training = start()
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    first = time.perf_counter()
    training.step()
    synchronise()
    first = time.perf_counter() - first
    reserved = _mib(torch.cuda.max_memory_reserved)  # with what cuDNN tried
    graphs = counters["stats"]["unique_graphs"]
    for _ in range(2):
        training.step()
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    ms = median_ms(training.step, ROUNDS, warm_up=0)
    peak = _mib(torch.cuda.max_memory_allocated)
    return {
        "first_step_s": round(first, 2),
        "ms": round(ms, 3),
        "peak_mib": peak - held if peak is not None and held is not None else None,
        "reserved_mib": reserved,
        "model_mib": predicted_mib(name),
        "recompilations": counters["stats"]["unique_graphs"] - graphs,
        "graph_breaks": sum(counters["graph_break"].values()),
        "synchronisations": synchronisations(training.step),
        "compiler": BACKEND if is_compiled else None,
        "loss": training.loss_name,
    }


@cache
def predicted_mib(name: str) -> float:
    """The peak of a step by the memory model, which counts AdamW's two numbers a weight: SGD has one."""
    with torch.device("meta"):
        network = build(name, deep_supervision=True)
    shape = (SETTING.batch, CHANNELS, *SETTING.patch_size)
    memory = step_memory(network, shape, DTYPE, device().type)
    return (memory.peak - sum(p.nbytes for p in network.parameters())) / 2**20


def synchronisations(step: Callable[[], object]) -> int | None:
    """Calls in a step that wait for the GPU, nnU-Net's own among them: for the loss and for the scaler."""
    if not GPU:
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(warning.message) for warning in caught)


def top_kernels(start: Callable[[], Training]) -> dict[str, Any]:
    """Those that take most of a step, with ms and number of calls; on a CPU PyTorch's operators."""
    training = start()
    training.step()
    activity = torch.profiler.ProfilerActivity.CUDA if GPU else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as profile:
        training.step()
        synchronise()
    time_of = "self_device_time_total" if GPU else "self_cpu_time_total"
    here = DeviceType.CUDA if GPU else DeviceType.CPU
    annotated = "is_user_annotation"  # a range with kernels in it, which have events of their own
    events = [e for e in profile.key_averages() if e.device_type == here and not getattr(e, annotated, False)]
    events.sort(key=lambda event: -getattr(event, time_of))
    total = sum(getattr(event, time_of) for event in events) / 1e3
    top = [
        {"name": event.key[:120], "ms": round(getattr(event, time_of) / 1e3, 3), "calls": event.count}
        for event in events[:TOP]
    ]
    return {"total_ms": round(total, 3), "kernels": top}


def release() -> None:
    """The memory of a network that is no longer needed, and what was compiled for it."""
    torch._dynamo.reset()
    counters.clear()
    gc.collect()
    if GPU:
        torch.cuda.empty_cache()


def _start(name: str, is_compiled: bool) -> Training:
    torch.manual_seed(0)
    network = build(name, deep_supervision=True).to(device())
    return Training(network, images(SETTING.batch, SETTING.patch), is_compiled, DTYPE)


def _mib(bytes_of_gpu: Callable[[], int]) -> float | None:
    return bytes_of_gpu() / 2**20 if GPU else None
