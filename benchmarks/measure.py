"""How everything here is measured: candidates take turns, medians, and the peak of memory in a process of its own."""

import ctypes
import gc
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_factorizer.network.memory import bytes_kept

M_MMAP_THRESHOLD = -3
"""Of `mallopt` in malloc.h."""

CACHE_BYTES = 2**28
"""Several times the second-level cache of any GPU."""

LAUNCH_CYCLES = 5_000_000
"""About 3 ms of a GPU's clock."""


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine() -> str:
    """One line on what the numbers were measured on."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} CPU threads, PyTorch {torch.__version__}"


def median_seconds(candidates: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, float]:
    """Median duration of each candidate; they take turns, so that a drift of the machine hits all alike."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(warm_up + rounds):
        for name, run in candidates.items():
            synchronise()
            start = time.perf_counter()
            run()
            synchronise()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[warm_up:]) for name, values in taken.items()}


def median_ms(run: Callable[[], object], rounds: int, warm_up: int = 1, alone: bool = False) -> float:
    """Median duration in ms, on a GPU by its own clock.

    Args:
        run: what is measured.
        rounds: how often.
        warm_up: so many before that do not count.
        alone: of kernels that take less time than their launch: the GPU is kept busy until they are all launched, and
            what ran before is no longer in its cache.
    """
    for _ in range(warm_up):
        run()
    if not torch.cuda.is_available():
        return 1e3 * median_seconds({"": run}, rounds, warm_up=0)[""]
    more_than_the_cache = torch.empty(CACHE_BYTES if alone else 0, dtype=torch.uint8, device="cuda")
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(rounds)]
    for start, end in events:
        if alone:
            more_than_the_cache.zero_()
            torch.cuda._sleep(LAUNCH_CYCLES)
        start.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in events)


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def forward(network: nn.Module, x: Tensor) -> None:
    """One pass as in inference; on a GPU under fp16 autocast, as nnU-Net does it."""
    with torch.no_grad(), torch.autocast(x.device.type, torch.float16, enabled=x.device.type == "cuda"):
        network(x)


def step(network: nn.Module, x: Tensor) -> None:
    """One forward and backward pass with a loss on every output."""
    network.zero_grad(set_to_none=True)
    with torch.autocast(x.device.type, torch.float16, enabled=x.device.type == "cuda"):
        loss = torch.stack([output.float().square().mean() for output in network(x)]).sum()
    loss.backward()


def mib_kept(network: nn.Module, x: Tensor) -> float:
    """MiB that a forward pass keeps for the backward pass, parameters left out."""
    return bytes_kept(network, lambda: network(x)) / 2**20


def peak_mib(run: Callable[[], object]) -> float:
    """Peak of memory while `run` runs for the second time, above what was held before. Call it once a process.

    The first time libraries are loaded: PyTorch's compiler alone, which its custom operators and nnU-Net import, takes
    150 MiB.
    """
    if not torch.cuda.is_available():  # the C library gives freed memory back at once, or its caches are measured, too
        ctypes.CDLL("libc.so.6").mallopt(M_MMAP_THRESHOLD, 2**16)
    run()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        allocated = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - allocated) / 2**20
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # Linux: forget the peak so far
    before = _resident_mib("VmRSS")
    run()
    return _resident_mib("VmHWM") - before


def peak_of_step(network: nn.Module, x: Tensor) -> float:
    """The same of `step`, its gradients included."""

    def run() -> None:
        step(network, x)
        network.zero_grad(set_to_none=True)  # or the second run would begin with those of the first

    return peak_mib(run)


def in_own_process(module: str, *arguments: str) -> Any:
    """What `python -m MODULE ARGUMENTS` prints as JSON."""
    command = [sys.executable, "-m", module, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _resident_mib(field: str) -> float:
    """Resident memory of this process, now (`VmRSS`) or at its peak (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith(field))
