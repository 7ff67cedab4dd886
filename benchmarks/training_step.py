"""Seconds per iteration and peak memory of one training step, nnU-Net's default network and the Factorizers.

    python -m benchmarks.training_step [--patch 40 56 40] [--batch 2] [--features 32 64 128 256] [--rounds 5]

Forward and backward pass on random data, the networks taking turns, so that a drift of the machine hits all alike.
Prints the median, its ratio to nnU-Net's `PlainConvUNet`, and the peak of the process's memory above what it held
before the step, each network in a process of its own. On a GPU where there is one, under fp16 autocast.
"""

import argparse
import json
import sys
from functools import partial

import torch
from torch import nn

from benchmarks.measure import device, in_own_process, machine, median_seconds, peak_of_step, step
from benchmarks.networks import FACTORIZERS, factorizer, plain_unet

NAMES = ("nnU-Net", *FACTORIZERS)


def build(name: str, patch: list[int], features: list[int]) -> nn.Module:
    """One channel, three classes, stride 2 in each stage but the first, deep supervision."""
    if name == "nnU-Net":
        return plain_unet(1, features, deep_supervision=True).to(device())
    return factorizer(name, 1, features, patch, deep_supervision=True).to(device())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", nargs=3, type=int, default=[40, 56, 40], help="default: 40 56 40")
    parser.add_argument("--batch", type=int, default=2, help="default: 2")
    parser.add_argument("--features", nargs="+", type=int, default=[32, 64, 128, 256], help="default: 32 64 128 256")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5, after one to warm up")
    parser.add_argument("--memory-of", choices=NAMES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    x = torch.randn(args.batch, 1, *args.patch, device=device())
    if args.memory_of:
        network = build(args.memory_of, args.patch, args.features)
        print(json.dumps(peak_of_step(network, x)))
        return
    print(f"{machine()}\npatch {args.patch}, batch {args.batch}, widths {args.features}, median of {args.rounds}\n")
    networks = {name: build(name, args.patch, args.features) for name in NAMES}
    seconds = median_seconds({name: partial(step, network, x) for name, network in networks.items()}, args.rounds)
    print("| network | parameters | s / step | ratio | peak MiB | ratio |\n| --- | --- | --- | --- | --- | --- |")
    memory: dict[str, float] = {}
    for name, network in networks.items():
        memory[name] = in_own_process("benchmarks.training_step", *sys.argv[1:], "--memory-of", name)
        parameters = sum(p.numel() for p in network.parameters()) / 1e6
        print(
            f"| {name} | {parameters:.2f} M | {seconds[name]:.2f} | {seconds[name] / seconds['nnU-Net']:.2f} "
            f"| {memory[name]:.0f} | {memory[name] / memory['nnU-Net']:.2f} |"
        )


if __name__ == "__main__":
    main()
