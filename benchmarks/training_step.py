"""Seconds per iteration and peak memory of one training step, nnU-Net's default network and the Factorizers.

    python benchmarks/training_step.py [--patch 40 56 40] [--batch 2] [--features 32 64 128 256] [--rounds 5]

Forward and backward pass on random data, the networks taking turns, so that a drift of the machine hits all alike.
Prints the median, its ratio to nnU-Net's `PlainConvUNet`, and the peak of the process's memory above what it held
before the step, each network in a process of its own. On a GPU where there is one, under fp16 autocast.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

from nnunetv2_factorizer.network import Factorizer

FACTORIZERS: dict[str, dict[str, Any]] = {
    "Swin": {"matricize": "swin"},
    "Local": {"matricize": "local"},
    "Global": {"matricize": "global"},
    "Conv": {"matricize": "swin", "local_path": "depthwise"},
}
NAMES = ("nnU-Net", *FACTORIZERS)


def build(name: str, patch: list[int], features: list[int]) -> nn.Module:
    """One channel, three classes, stride 2 in each stage but the first, deep supervision."""
    strides = [1] + [2] * (len(features) - 1)
    if name != "nnU-Net":
        network: nn.Module = Factorizer(
            1, 3, len(features), features, nn.Conv3d, strides, patch_size=patch, deep_supervision=True,
            **FACTORIZERS[name],
        )  # fmt: skip
    else:
        network = PlainConvUNet(
            1, len(features), features, nn.Conv3d, 3, strides, 2, 3, 2, conv_bias=True, norm_op=nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True},
            deep_supervision=True,
        )  # fmt: skip
    return network.to(device())


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def step(network: nn.Module, x: torch.Tensor) -> None:
    network.zero_grad(set_to_none=True)
    with torch.autocast(x.device.type, enabled=x.device.type == "cuda"):
        loss = torch.stack([output.float().square().mean() for output in network(x)]).sum()
    loss.backward()
    if x.device.type == "cuda":
        torch.cuda.synchronize()


def measure_time(patch: list[int], batch: int, features: list[int], rounds: int) -> dict[str, float]:
    """Median seconds of a step for each network."""
    networks = {name: build(name, patch, features) for name in NAMES}
    x = torch.randn(batch, 1, *patch, device=device())
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(rounds + 1):
        for name, network in networks.items():
            start = time.perf_counter()
            step(network, x)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def measure_memory(name: str, patch: list[int], batch: int, features: list[int]) -> float:
    """Peak MiB of a step in this process, above what it held before."""
    network = build(name, patch, features)
    x = torch.randn(batch, 1, *patch, device=device())
    if device().type == "cuda":
        allocated = torch.cuda.memory_allocated()
        step(network, x)
        return (torch.cuda.max_memory_allocated() - allocated) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak of the imports
    before = resident_mib("VmRSS")
    step(network, x)
    return resident_mib("VmHWM") - before


def resident_mib(field: str) -> float:
    """Resident memory of this process, now (`VmRSS`) or at its peak (`VmHWM`)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", nargs=3, type=int, default=[40, 56, 40], help="default: 40 56 40")
    parser.add_argument("--batch", type=int, default=2, help="default: 2")
    parser.add_argument("--features", nargs="+", type=int, default=[32, 64, 128, 256], help="default: 32 64 128 256")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5, after one to warm up")
    parser.add_argument("--memory-of", choices=NAMES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        print(json.dumps(measure_memory(args.memory_of, args.patch, args.batch, args.features)))
        return
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, device {device()}, PyTorch {torch.__version__}")
    print(f"patch {args.patch}, batch {args.batch}, widths {args.features}, median of {args.rounds}\n")
    seconds = measure_time(args.patch, args.batch, args.features, args.rounds)
    print("| network | parameters | s / step | ratio | peak MiB | ratio |\n| --- | --- | --- | --- | --- | --- |")
    memory: dict[str, float] = {}
    for name in NAMES:
        command = [sys.executable, *sys.argv, "--memory-of", name]
        memory[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        parameters = sum(p.numel() for p in build(name, args.patch, args.features).parameters()) / 1e6
        print(
            f"| {name} | {parameters:.2f} M | {seconds[name]:.2f} | {seconds[name] / seconds['nnU-Net']:.2f} "
            f"| {memory[name]:.0f} | {memory[name] / memory['nnU-Net']:.2f} |"
        )


if __name__ == "__main__":
    main()
