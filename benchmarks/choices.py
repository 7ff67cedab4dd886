"""What single design choices are worth, the failed ones included: seconds, the candidates taking turns.

    python -m benchmarks.choices [--rounds 5]

1. The mixing layer, forward and backward: two grids of windows of 8^3 on 32 channels at 64^3, heads of 8, T = 5.
2. How many numbers to work on at a time, in the mixing layer and in the layers of a voxel, at 128^3.
3. The convolutions at 128^3, forward: the library's, and other ways to compute the same.
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.measure import machine, median_seconds
from nnunetv2_factorizer.factorization import NMF, ShiftedWindowMatricize, mix, working_set
from nnunetv2_factorizer.network.layers import MLP
from nnunetv2_factorizer.network.recompute import Recomputed


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


def chunked(numbers: int, table: dict[str, int], function: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        before, table["cpu"] = table["cpu"], numbers
        function()
        table["cpu"] = before

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


def downsample_by_product(convolution: nn.Conv3d, x: Tensor) -> Tensor:
    """Kernel 2, stride 2 as a reshape and a matrix product."""
    cubes = rearrange(x, "b c (d i) (h j) (w k) -> b d h w (i j k c)", i=2, j=2, k=2)
    weight = rearrange(convolution.weight, "o c i j k -> o (i j k c)")
    return functional.linear(cubes, weight, convolution.bias).movedim(-1, 1)


def upsample_by_product(convolution: nn.ConvTranspose3d, x: Tensor) -> Tensor:
    """Its transpose as a matrix product and a reshape."""
    weight = rearrange(convolution.weight, "c o i j k -> (i j k o) c")
    assert convolution.bias is not None
    cubes = functional.linear(x.movedim(1, -1), weight, convolution.bias.repeat(8))
    volume = rearrange(cubes, "b d h w (i j k o) -> b (d i) (h j) (w k) o", i=2, j=2, k=2)
    return volume.movedim(-1, 1)


def print_table(title: str, seconds: dict[str, float]) -> None:
    slowest = max(seconds.values())
    print(f"\n| {title} | s | times as fast |\n| --- | --- | --- |")
    for name, value in seconds.items():
        print(f"| {name} | {value:.3f} | {slowest / value:.1f} |")


def mixing_layer(rounds: int) -> None:
    x = volume(32, 64)
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


def sizes_of_chunks(rounds: int) -> None:
    run = with_backward(operator(num_iters=5), volume(32, 128))
    ways = {f"2^{n} numbers": chunked(2**n, working_set.WINDOW_NUMBERS, run) for n in (17, 19, 21, 23)}
    print_table("mixing layer, forward + backward", median_seconds(ways, rounds))
    mlp = MLP(32, 2, 0.0)
    voxels = torch.randn(128**3, 32)
    run = with_backward(Recomputed(mlp, "forward"), voxels)
    ways = {f"2^{n} numbers": chunked(2**n, working_set.VOXEL_NUMBERS, run) for n in (16, 18, 20, 22)}
    ways["not recomputed"] = with_backward(mlp, voxels)
    print_table("MLP, forward + backward", median_seconds(ways, rounds))


def convolutions(rounds: int) -> None:
    full, half = volume(32, 128), volume(64, 64)
    depthwise = nn.Conv3d(32, 32, 3, padding=1, groups=32).to(memory_format=torch.channels_last_3d)
    down = nn.Conv3d(32, 64, 2, 2).to(memory_format=torch.channels_last_3d)
    up = nn.ConvTranspose3d(64, 32, 2, 2).to(memory_format=torch.channels_last_3d)
    pairs: tuple[tuple[str, nn.Module, Callable[..., Tensor], Tensor], ...] = (
        ("depthwise, as three 2-D convolutions", depthwise, depthwise_by_slices, full),
        ("downsampling, as a matrix product", down, downsample_by_product, full),
        ("upsampling, as a matrix product", up, upsample_by_product, half),
    )
    ways: dict[str, Callable[[], object]] = {}
    with torch.no_grad():
        for name, convolution, other, x in pairs:
            torch.testing.assert_close(other(convolution, x), convolution(x), rtol=1e-4, atol=1e-5)
            ways[name.partition(",")[0] + ", the library's"] = partial(convolution, x)
            ways[name] = partial(other, convolution, x)
        print_table("convolution, forward", median_seconds(ways, rounds))


def volume(channels: int, size: int) -> Tensor:
    return torch.randn(1, channels, size, size, size).contiguous(memory_format=torch.channels_last_3d)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="default: 5, after one to warm up")
    rounds = parser.parse_args().rounds
    print(machine())
    mixing_layer(rounds)
    sizes_of_chunks(rounds)
    convolutions(rounds)


if __name__ == "__main__":
    main()
