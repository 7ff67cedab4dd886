"""What the layers of each voxel, in a block and where the decoder merges, move through memory, counted without a GPU.

    python -m benchmarks.voxelwise_bytes

Bytes for each number of a volume in half precision. Of eager chunks each of PyTorch's operators counts with the bytes
of its arguments and results, forward, and forward again with all gradients. Of compiled layers, which keep what they
make for the backward pass, Inductor's scheduler counts, for a CPU; products of matrices are among its nodes. Of our
kernels the volumes that each reads and writes count, and the sums of their programs. What a cache gives once more is
not counted in any of them.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._inductor import config, metrics
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nnunetv2_factorizer.network import upsampling, voxelwise
from nnunetv2_factorizer.network.chunks import gradients_in_chunks, in_chunks

WIDTHS = {32: 2 * 128**3, 64: 2 * 64**3, 128: 2 * 32**3}
"""Channels, and the voxels that nnU-Net trains on with them: stages of a patch of 128^3, two images."""

RATIO = 2
COMPILED_ROWS = 2**14
SIDE = 64
"""Voxels an axis of what is merged."""

Bytes = tuple[float, float]
"""Forward and backward, for each number of a volume."""


def before(x: Tensor, gamma: Tensor, beta: Tensor, w: Tensor) -> Tensor:
    """As autocast has it on a GPU: layer norm in float32, linear layers in half precision."""
    return functional.linear(functional.layer_norm(x.float(), x.shape[1:], gamma, beta).half(), w.half())


def after(
    x: Tensor, mixed: Tensor, w: Tensor, b: Tensor, gamma: Tensor, beta: Tensor,
    w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor,
) -> Tensor:  # fmt: skip
    y = x + functional.linear(mixed, w.half(), b.half())
    n = functional.layer_norm(y.float(), x.shape[1:], gamma, beta).half()
    return y + functional.linear(functional.gelu(functional.linear(n, w1.half(), b1.half())), w2.half(), b2.half())


def tensors(rows: int, channels: int) -> Iterator[tuple[Callable[..., Tensor], list[Tensor], list[Tensor]]]:
    """Both functions with their volumes and parameters."""
    x, mixed = torch.empty(rows, channels, dtype=torch.half), torch.empty(rows, channels, dtype=torch.half)
    norm, square = [torch.ones(channels), torch.ones(channels)], torch.ones(channels, channels)
    hidden = RATIO * channels
    mlp = [torch.ones(hidden, channels), torch.ones(hidden), torch.ones(channels, hidden), torch.ones(channels)]
    yield before, [x], [*norm, square]
    yield after, [x, mixed], [square, torch.ones(channels), *norm, *mlp]


def of_eager(channels: int, rows: int) -> Bytes:
    """In one chunk."""
    total = [0.0, 0.0]
    with FakeTensorMode():
        for function, inputs, parameters in tensors(rows, channels):
            leaves = [p.requires_grad_() for p in parameters]

            def layers(*volumes: Tensor, function: Any = function, leaves: Any = leaves) -> Tensor:
                return function(*volumes, *leaves)

            def chunks(x: Tensor) -> list[slice]:
                return [slice(0, len(x))]

            with torch.no_grad(), Counted() as forward:
                result = in_chunks(layers, chunks, inputs)
            with Counted() as backward:
                gradients_in_chunks(layers, chunks, inputs, [True] * len(inputs), leaves, result, None)
            total = [total[0] + forward.bytes, total[1] + backward.bytes]
    return total[0] / (rows * channels), total[1] / (rows * channels)


class Counted(TorchDispatchMode):
    """Counts the bytes of the tensors that operators are given and give; views and what is only reserved are free."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.namespace == "aten" and not func.is_view and "empty" not in func._opname:
            moved = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor)]
            self.bytes += sum({(t.untyped_storage()._cdata, t.shape): t.nbytes for t in moved}.values())
        return result


def of_inductor(channels: int) -> Bytes:
    """Forward and backward graph are compiled one after the other."""
    logging.getLogger("torch._inductor.compile_fx.__inductor_metrics").setLevel(logging.INFO)  # else nothing is counted
    total = [0.0, 0.0]
    for function, inputs, parameters in tensors(COMPILED_ROWS, channels):
        leaves = [t.requires_grad_() for t in (*inputs, *parameters)]
        metrics.reset()
        torch.compiler.reset()
        with config.patch(force_disable_caches=True):
            result = torch.compile(function, fullgraph=True)(*leaves)
            forward = metrics.num_bytes_accessed
            torch.autograd.grad(result, leaves, torch.ones_like(result))
        total = [total[0] + forward, total[1] + metrics.num_bytes_accessed - forward]
    return total[0] / inputs[0].numel(), total[1] / inputs[0].numel()


def of_kernels(channels: int, rows: int) -> Bytes | None:
    """None where PyTorch does the work."""
    hidden = RATIO * channels
    if not voxelwise._fits(channels, hidden):
        return None
    from nnunetv2_factorizer.network.voxelwise_kernels import _launch, backward_launches

    with FakeTensorMode():
        x, w1 = torch.empty(rows, channels, dtype=torch.half), torch.empty(hidden, channels)
        volume, programs = x.nbytes, _launch(x)[0]

    def sums(numbers: int) -> int:
        """Written by each program, and read by PyTorch."""
        return 2 * 4 * programs * numbers

    forward, backward = (2 + 3) * volume, 3 * volume + sums(channels**2 + channels)
    for launch in backward_launches(w1):
        if launch["VOLUMES"]:
            backward += 5 * volume + sums(channels**2 + 2 * channels)
        else:
            backward += 3 * volume * (hidden // launch["BLOCK"])
        if launch["WEIGHTS"]:
            backward += sums(2 * hidden * channels + hidden)
    return forward / x.numel(), backward / x.numel()


def of_merging(channels: int, composed: bool) -> Bytes:
    """Where the decoder adds the upsampled features to those of the encoder: layer by layer, or as one.

    Backward with all that is computed again.
    """
    with FakeTensorMode(), patch.object(upsampling, "COMPOSED_FROM", 0 if composed else sys.maxsize):
        layer = nn.ConvTranspose3d(2 * channels, channels, 2, stride=2, dtype=torch.half)
        of_skip, of_low = (torch.empty(channels, channels, dtype=torch.half, requires_grad=True) for _ in range(2))
        skip = torch.empty(SIDE // 2, 2, SIDE, SIDE, channels, dtype=torch.half, requires_grad=True)
        low = torch.empty(*[SIDE // 2] * 3, 2 * channels, dtype=torch.half, requires_grad=True)
        with Counted() as forward:
            result = upsampling.add_upsampled(functional.linear(skip, of_skip), low, layer, of_low)
        with Counted() as backward:
            result = upsampling.add_upsampled(functional.linear(skip, of_skip), low, layer, of_low)
            torch.autograd.grad(result, [skip, low, of_skip, of_low, *layer.parameters()], result)
    return forward.bytes / skip.numel(), backward.bytes / skip.numel()


def main() -> None:
    print("| channels | layers of each voxel | forward B/el | backward B/el | together B/el |")
    print("| --- | --- | --- | --- | --- |")
    for channels, rows in WIDTHS.items():
        ways = {
            "PyTorch, eager, recomputed in chunks": of_eager(channels, rows),
            "PyTorch, compiled, nothing recomputed": of_inductor(channels),
            "our kernels": of_kernels(channels, rows),
        }
        for name, numbers in ways.items():
            columns = [f"{n:.1f}" for n in (*numbers, sum(numbers))] if numbers else ["as eager"] * 3
            print(f"| {channels} | {name} | {' | '.join(columns)} |", flush=True)
    print("\n| channels | merging in the decoder | forward B/el | backward B/el | together B/el |")
    print("| --- | --- | --- | --- | --- |")
    for channels in WIDTHS:
        for name, composed in (("upsampling, then a linear map", False), ("one transposed convolution", True)):
            numbers = of_merging(channels, composed)
            print(f"| {channels} | {name} | {' | '.join(f'{n:.1f}' for n in (*numbers, sum(numbers)))} |")


if __name__ == "__main__":
    main()
