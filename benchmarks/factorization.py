"""Rank 1 in closed form against the plain loop, and memory formats: seconds of forward and backward pass.

    python benchmarks/factorization.py [--rounds 5]

One NMF layer on the matrices of a Swin block with 32 channels at 64^3 (heads of 8, windows of 8^3, T = 5), and one
Swin Factorizer at 40x56x40, batch 2, with its weights in either memory format. The candidates take turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from nnunetv2_factorizer.factorization import NMF, ShiftedWindowMatricize
from nnunetv2_factorizer.network import Factorizer


def seconds(candidates: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The median of each candidate, after one call to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds + 1):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in taken.items()}


def layer(closed_form: bool, matrices: Tensor) -> Callable[[], None]:
    nmf = NMF((8, 512))
    nmf.closed_form = closed_form

    def run() -> None:
        x = matrices.detach().requires_grad_()
        nmf(x).square().sum().backward()

    return run


def network(memory_format: torch.memory_format) -> Callable[[], None]:
    factorizer = Factorizer(
        1, 3, 4, [32, 64, 128, 256], nn.Conv3d, [1, 2, 2, 2], patch_size=[40, 56, 40], deep_supervision=True
    ).to(memory_format=memory_format)
    x = torch.randn(2, 1, 40, 56, 40)

    def run() -> None:
        factorizer.zero_grad(set_to_none=True)
        torch.stack([output.square().mean() for output in factorizer(x)]).sum().backward()

    return run


def print_table(title: str, values: dict[str, float]) -> None:
    slowest = max(values.values())
    print(f"\n| {title} | s | times as fast |\n| --- | --- | --- |")
    for name, value in values.items():
        print(f"| {name} | {value:.2f} | {slowest / value:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="default: 5, after one to warm up")
    rounds = parser.parse_args().rounds
    x = torch.rand(1, 32, 64, 64, 64).contiguous(memory_format=torch.channels_last_3d)
    matrices = ShiftedWindowMatricize(8, (8, 8, 8))(x)
    print_table(
        "rank-1 NMF layer, forward + backward",
        seconds({"plain loop": layer(False, matrices), "closed form": layer(True, matrices)}, rounds),
    )
    formats = {"channels first": torch.contiguous_format, "channels last": torch.channels_last_3d}
    candidates = {name: network(memory_format) for name, memory_format in formats.items()}
    print_table("Swin Factorizer, forward + backward", seconds(candidates, rounds))


if __name__ == "__main__":
    main()
