"""Depthwise convolutions of channels-last volumes in Triton: a kernel for a volume, and one for the weight's gradient.

A program computes a block of voxels for some channels; what its neighbours read as well is in the cache. Sums are in
float32. The gradient with respect to the input is the first kernel again, with the places of the kernel mirrored. That
with respect to weight and bias has two stages, without atomic additions: each program sums over many blocks, and
PyTorch adds what the programs give. So the same numbers come out every time.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCKS = {1: (1, 1, 128), 2: (1, 8, 16), 3: (4, 4, 8)}
"""Voxels of a program, by the number of spatial axes."""

SUMMED_BLOCKS = {1: (1, 1, 16), 2: (1, 4, 4), 3: (1, 2, 4)}
"""Those that a program for the gradient of the weight works on at a time: so many sums for each weight in registers."""

CHANNELS = 32
"""Of a program, at most: a power of two."""

PROGRAMS = 1024
"""That sum the gradient of the weight: several for each multiprocessor of a GPU."""

SIZES = [f"{kind}{axis}" for kind in "ION" for axis in range(3)] + ["NUMBER", "EACH"]
"""Arguments for whose values nothing is compiled anew. `C` is not among them: loads are wide where 16 divides it."""


def convolve(x: Tensor, weight: Tensor, bias: Tensor, stride: list[int]) -> Tensor:
    """From a contiguous `(B, *S, C)` to `(B, *S_out, C)`; `weight` is `(C, 1, *K)` with odd K."""
    size = [(n - 1) // s + 1 for n, s in zip(x.shape[1:-1], stride, strict=True)]
    return _convolve(x, weight, bias.contiguous(), size, stride, mirrored=False)


def convolve_backward(grad: Tensor, x: Tensor, weight: Tensor, stride: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients with respect to `x` `(B, *S, C)`, `weight` and bias; `grad` and `x` are contiguous."""
    dx = _convolve(grad, weight, None, list(x.shape[1:-1]), stride, mirrored=True)
    dweight, dbias = _sums(grad, x, weight, stride)
    return dx, dweight, dbias


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, size: list[int], stride: list[int], mirrored: bool
) -> Tensor:
    out = x.new_empty(len(x), *size, x.shape[-1])
    number, launch = _launch(x.shape[1:-1], size, weight, stride, BLOCKS[len(size)])
    factors = weight.flatten(1).T.contiguous()  # a place of the kernel after the other: loads are wide
    with torch.cuda.device_of(x):
        grid = len(x) * number, triton.cdiv(x.shape[-1], launch["CHANNELS"])
        _convolution_kernel[grid](x, factors, bias, out, **launch, MIRRORED=mirrored, num_warps=8)  # spills with 4
    return out


def _sums(grad: Tensor, x: Tensor, weight: Tensor, stride: list[int]) -> tuple[Tensor, Tensor]:
    channels, size = x.shape[-1], grad.shape[1:-1]
    number, launch = _launch(x.shape[1:-1], size, weight, stride, SUMMED_BLOCKS[len(size)])
    number *= len(x)
    places = triton.next_power_of_2(prod(weight.shape[2:]) + 1)  # and one for the bias
    parts = triton.cdiv(channels, launch["CHANNELS"])
    each = triton.cdiv(number, max(1, PROGRAMS // parts))
    programs = triton.cdiv(number, each)
    sums = x.new_empty(programs, places, channels, dtype=torch.float32)
    with torch.cuda.device_of(x):
        launch |= {"PLACES": places, "NUMBER": number, "EACH": each}
        _sums_kernel[programs, parts](grad, x, sums, **launch)
    total, bias = sums.sum(0), prod(weight.shape[2:])
    return total[:bias].T.contiguous().view(weight.shape).to(weight.dtype), total[bias].to(weight.dtype)


def _launch(
    size_in: Sequence[int], size_out: Sequence[int], weight: Tensor, stride: Sequence[int], block: tuple[int, ...]
) -> tuple[int, dict[str, Any]]:
    """The number of blocks of an image, and arguments that both kernels have. Missing axes have length 1."""
    missing = [1] * (3 - len(stride))
    kernel = [*missing, *weight.shape[2:]]
    number = [triton.cdiv(n, b) for n, b in zip([*missing, *size_out], block, strict=True)]
    arguments: dict[str, Any] = {"C": len(weight)}
    columns = {
        "I": [*missing, *size_in], "O": [*missing, *size_out], "N": number,
        "K": kernel, "STEP": [*missing, *stride], "V": block,
    }  # fmt: skip
    for name, column in columns.items():
        arguments |= {f"{name}{axis}": value for axis, value in enumerate(column)}
    arguments["CHANNELS"] = min(CHANNELS, triton.next_power_of_2(len(weight)))
    return prod(number), arguments


@triton.jit
def _block(index, O0, O1, O2, N0, N1, N2, V0, V1, V2):
    """The voxels of a block in the volume that it covers: image, three coordinates, and which of them exist."""
    place = tl.arange(0, V0 * V1 * V2)
    d = index // (N1 * N2) % N0 * V0 + place // (V1 * V2)
    h = index // N2 % N1 * V1 + place // V2 % V1
    w = index % N2 * V2 + place % V2
    return (index // (N0 * N1 * N2)).to(tl.int64), d, h, w, (d < O0) & (h < O1) & (w < O2)


@triton.jit
def _source(at, shift, SIZE, STEP: tl.constexpr, MIRRORED: tl.constexpr):
    """Where a place of the kernel reads along an axis for the voxels `at`, and whether there is something."""
    if MIRRORED:
        scaled = at - shift
        source = scaled // STEP
        exists = (scaled >= 0) & (scaled % STEP == 0) & (source < SIZE)
    else:
        source = at * STEP + shift
        exists = (source >= 0) & (source < SIZE)
    return source, exists


@triton.jit(do_not_specialize=SIZES)
def _convolution_kernel(
    x, weight, bias, out,
    C, I0, I1, I2, O0, O1, O2, N0, N1, N2, K0: tl.constexpr, K1: tl.constexpr, K2: tl.constexpr,
    STEP0: tl.constexpr, STEP1: tl.constexpr, STEP2: tl.constexpr, V0: tl.constexpr, V1: tl.constexpr,
    V2: tl.constexpr, CHANNELS: tl.constexpr, MIRRORED: tl.constexpr,
):  # fmt: skip
    """`x` has the sizes I, `out` has the sizes O."""
    item, d, h, w, inside = _block(tl.program_id(0), O0, O1, O2, N0, N1, N2, V0, V1, V2)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    exists = channel < C
    total = tl.zeros((V0 * V1 * V2, CHANNELS), tl.float32)
    if bias is not None:
        total += tl.load(bias + channel, mask=exists, other=0).to(tl.float32)[None, :]
    for k0 in range(K0):  # a loop, since unrolled the loads of all places would not fit into the registers
        d_in, d_exists = _source(d, k0 - K0 // 2, I0, STEP0, MIRRORED)
        for k in tl.static_range(K1 * K2):
            h_in, h_exists = _source(h, k // K2 - K1 // 2, I1, STEP1, MIRRORED)
            w_in, w_exists = _source(w, k % K2 - K2 // 2, I2, STEP2, MIRRORED)
            there = inside & d_exists & h_exists & w_exists
            voxel = ((item * I0 + d_in) * I1 + h_in) * I2 + w_in
            value = tl.load(x + voxel[:, None] * C + channel[None, :], mask=there[:, None] & exists[None, :], other=0)
            factor = tl.load(weight + (k0 * K1 * K2 + k) * C + channel, mask=exists, other=0).to(tl.float32)
            total += value.to(tl.float32) * factor[None, :]
    voxel = ((item * O0 + d) * O1 + h) * O2 + w
    offsets = voxel[:, None] * C + channel[None, :]
    tl.store(out + offsets, total.to(out.dtype.element_ty), mask=inside[:, None] & exists[None, :])


@triton.jit(do_not_specialize=SIZES)
def _sums_kernel(
    grad, x, sums,
    C, I0, I1, I2, O0, O1, O2, N0, N1, N2, K0: tl.constexpr, K1: tl.constexpr, K2: tl.constexpr,
    STEP0: tl.constexpr, STEP1: tl.constexpr, STEP2: tl.constexpr, V0: tl.constexpr, V1: tl.constexpr,
    V2: tl.constexpr, CHANNELS: tl.constexpr, PLACES: tl.constexpr, NUMBER, EACH,
):  # fmt: skip
    """Of `x` times `grad` for each place of the kernel, and of `grad` for the place after them: `(PLACES, C)`."""
    place = tl.arange(0, PLACES)
    weights: tl.constexpr = K0 * K1 * K2
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    exists = channel < C
    total = tl.zeros((PLACES, V0 * V1 * V2, CHANNELS), tl.float32)
    first = tl.program_id(0) * EACH
    for index in range(first, tl.minimum(first + EACH, NUMBER)):
        item, d, h, w, inside = _block(index, O0, O1, O2, N0, N1, N2, V0, V1, V2)
        voxel = ((item * O0 + d) * O1 + h) * O2 + w
        exist = inside[:, None] & exists[None, :]
        g = tl.load(grad + voxel[:, None] * C + channel[None, :], mask=exist, other=0).to(tl.float32)
        d_in, d_exists = _source(d[None, :], (place // (K1 * K2) - K0 // 2)[:, None], I0, STEP0, False)
        h_in, h_exists = _source(h[None, :], (place // K2 % K1 - K1 // 2)[:, None], I1, STEP1, False)
        w_in, w_exists = _source(w[None, :], (place % K2 - K2 // 2)[:, None], I2, STEP2, False)
        there = d_exists & h_exists & w_exists & (place < weights)[:, None]
        voxel = ((item * I0 + d_in) * I1 + h_in) * I2 + w_in
        offsets = voxel[:, :, None] * C + channel[None, None, :]
        value = tl.load(x + offsets, mask=there[:, :, None] & exist[None, :, :], other=0).to(tl.float32)
        total += tl.where((place == weights)[:, None, None], 1, value) * g[None, :, :]
    offsets = (tl.program_id(0) * PLACES + place)[:, None] * C + channel[None, :]
    tl.store(sums + offsets, tl.sum(total, axis=1), mask=(place <= weights)[:, None] & exists[None, :])
