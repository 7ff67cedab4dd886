"""What single choices of the mixing layer are worth: seconds of forward and backward pass, candidates taking turns.

    python -m benchmarks.factorization [--rounds 5]

Two grids of windows of 8^3 on 32 channels at 64^3, heads of 8, T = 5, in channels-last memory. Then the local path: a
depthwise convolution over 3 voxels an axis at 128^3, as one 3-D convolution and as three 2-D ones, forward only.
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.measure import machine, median_seconds
from nnunetv2_factorizer.factorization import NMF, ShiftedWindowMatricize, mix


def layers(closed_form: bool, rank: int = 1, solver: str = "hals") -> Callable[[Tensor], Tensor]:
    """Matricize, ReLU, NMF and back as separate layers."""
    matricize, nmf = ShiftedWindowMatricize(8, (8, 8, 8)), NMF((8, 512), rank, 5, solver)
    nmf.closed_form = closed_form
    return lambda x: matricize.inverse(nmf(matricize(torch.relu(x))), x.shape[2:])


def operator(num_iters: int) -> Callable[[Tensor], Tensor]:
    v0 = torch.rand(512, 1)
    return lambda x: mix(x, v0, head_dim=8, window=(8, 8, 8), shifted=True, num_iters=num_iters)


def matricize_only(x: Tensor) -> Tensor:
    matricize = ShiftedWindowMatricize(8, (8, 8, 8))
    return matricize.inverse(matricize(x), x.shape[2:])


def with_backward(function: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], None]:
    grad = torch.randn_like(x)

    def run() -> None:
        function(x.detach().requires_grad_()).backward(grad)

    return run


def depthwise_by_slices(convolution: nn.Conv3d, x: Tensor) -> Tensor:
    """The same sum with the first axis as the batch of three 2-D convolutions."""
    slices = x[0].movedim(1, 0)
    below, here, above = convolution.weight.unbind(2)
    groups = convolution.groups
    result = functional.conv2d(slices, here, convolution.bias, padding=1, groups=groups)
    result[1:] += functional.conv2d(slices[:-1], below, padding=1, groups=groups)
    result[:-1] += functional.conv2d(slices[1:], above, padding=1, groups=groups)
    return result.movedim(0, 1)[None]


def print_table(title: str, seconds: dict[str, float]) -> None:
    slowest = max(seconds.values())
    print(f"\n| {title} | s | times as fast |\n| --- | --- | --- |")
    for name, value in seconds.items():
        print(f"| {name} | {value:.3f} | {slowest / value:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="default: 5, after one to warm up")
    rounds = parser.parse_args().rounds
    print(machine())
    x = torch.randn(1, 32, 64, 64, 64).contiguous(memory_format=torch.channels_last_3d)
    functions = {
        "rank 1, layers, plain loop": layers(closed_form=False),
        "rank 1, layers, closed form": layers(closed_form=True),
        "rank 1, one operation": operator(num_iters=5),
        "rank 1, one operation, T = 20": operator(num_iters=20),
        "rank 2, HALS": layers(False, 2),
        "rank 2, MU": layers(False, 2, "mu"),
        "rank 4, HALS": layers(False, 4),
        "rank 4, MU": layers(False, 4, "mu"),
        "matricize and back alone": matricize_only,
    }
    seconds = median_seconds({name: with_backward(f, x) for name, f in functions.items()}, rounds)
    print_table("mixing layer, forward + backward", seconds)

    volume = torch.randn(1, 32, 128, 128, 128).contiguous(memory_format=torch.channels_last_3d)
    convolution = nn.Conv3d(32, 32, 3, padding=1, groups=32).to(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        torch.testing.assert_close(depthwise_by_slices(convolution, volume), convolution(volume))
        ways = {
            "one 3-D convolution": partial(convolution, volume),
            "three 2-D convolutions": partial(depthwise_by_slices, convolution, volume),
        }
        print_table("depthwise convolution, forward", median_seconds(ways, rounds))


if __name__ == "__main__":
    main()
