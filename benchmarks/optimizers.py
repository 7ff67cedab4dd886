"""What an optimiser costs: seconds of its step, and their share of a whole training step.

    python -m benchmarks.optimizers [--patch 40 56 40] [--batch 2] [--features 32 64 128 256] [--rounds 5]

The networks are those of `benchmarks/training_step.py`; the optimisers take turns on the same gradients. On a GPU where
there is one.
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from benchmarks.measure import device, machine, median_seconds, step
from benchmarks.training_step import NAMES, build
from nnunetv2_factorizer.training.optimizers import AvaGrad, Muon, muon_groups

OPTIMIZERS: dict[str, Callable[[nn.Module], Optimizer]] = {
    "SGD": lambda network: SGD(network.parameters(), 0.0, momentum=0.99, nesterov=True),
    "AdamW": lambda network: AdamW(network.parameters(), 0.0),
    "AvaGrad": lambda network: AvaGrad(network.parameters(), 0.0),
    "Muon": lambda network: Muon(muon_groups(network, 0.0, 0.0)),
}
"""With a learning rate of 0, so that all see the same weights."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NAMES, default=["nnU-Net", "Conv"], help="default: two")
    parser.add_argument("--patch", nargs=3, type=int, default=[40, 56, 40], help="default: 40 56 40")
    parser.add_argument("--batch", type=int, default=2, help="default: 2")
    parser.add_argument("--features", nargs="+", type=int, default=[32, 64, 128, 256], help="default: 32 64 128 256")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5, after one to warm up")
    args = parser.parse_args()
    x = torch.randn(args.batch, 1, *args.patch, device=device())
    print(f"{machine()}\npatch {args.patch}, batch {args.batch}, widths {args.features}, median of {args.rounds}\n")
    print("| network | optimiser | s | share of a training step |\n| --- | --- | --- | --- |")
    for name in args.networks:
        network = build(name, args.patch, args.features)
        step(network, x)
        candidates: dict[str, Callable[[], object]] = {n: make(network).step for n, make in OPTIMIZERS.items()}
        seconds = median_seconds(candidates | {"step": partial(step, network, x)}, args.rounds)
        for optimizer in OPTIMIZERS:
            share = seconds[optimizer] / (seconds["step"] + seconds[optimizer])
            print(f"| {name} | {optimizer} | {seconds[optimizer]:.4f} | {100 * share:.1f} % |")


if __name__ == "__main__":
    main()
