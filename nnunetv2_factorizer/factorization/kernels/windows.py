"""Fused kernels: a program makes a summary of a window of a few heads, iterates on it and writes the window.

The summary, `K = X X^T` and `a = X v0`, is a product of matrices for all heads of a program at once, which tensor cores
compute; `same` says which of its numbers belong to one head. The programs of the regular grid write their direction
`u` only. Those of the shifted grid, launched next, write the mean of both: the volume is read twice and written once,
and what a program reads a second time is still in the cache. Sums are in float32. For a volume in float16 what is
multiplied is in float16, `v0` and `u u^T` as well; it needs no scaling then.
"""

from math import prod
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from nnunetv2_factorizer.factorization.kernels import heads_of_program, power_of_two
from nnunetv2_factorizer.factorization.rank_one import EPS

SIZES = [f"{kind}{axis}" for kind in "SN" for axis in range(3)] + ["GROUPS"]
"""Arguments for whose values nothing is compiled anew. `C` is not among them: loads are wide where 16 divides it."""

VOXELS = 64
"""That a program works on at a time, an eighth of a window of 8^3.

In float32 half of them, and where 16 bytes are not read at once a quarter: there are not registers for more.
"""

SMALLEST_SIZE = tl.constexpr(2.0**-120)
"""That heads are divided by; a smaller one has no inverse in float32."""

SMALLEST_SIDE = 16
"""Of a matrix that tensor cores multiply."""


def mix_windows(x: Tensor, v0: Tensor, head_dim: int, window: list[int], shifted: bool, num_iters: int) -> Tensor:
    """What `mix` does on a contiguous `(B, *S, C)` with one to three spatial axes."""
    out = torch.empty_like(x)
    grid, launches = _launches(x, head_dim, window, shifted, num_iters)
    u = x.new_empty(*grid, launches[0]["TILE_C"], dtype=torch.float32)
    with torch.cuda.device_of(x):
        for launch in launches:
            _forward_kernel[grid](x, v0, u, out, **launch)
    return out


def mix_windows_backward(
    grad: Tensor, x: Tensor, v0: Tensor, head_dim: int, window: list[int], shifted: bool, num_iters: int
) -> Tensor:
    """The gradient with respect to `x` `(B, *S, C)`."""
    dx = torch.empty_like(x)
    grid, launches = _launches(x, head_dim, window, shifted, num_iters)
    u, da = x.new_empty(2, *grid, launches[0]["TILE_C"], dtype=torch.float32)
    d = x.new_empty(*grid, launches[0]["TILE_C"], head_dim, dtype=torch.float32)
    with torch.cuda.device_of(x):
        for launch in launches:
            _backward_kernel[grid](grad, x, v0, u, da, d, dx, **launch)
    return dx


def _launches(
    x: Tensor, head_dim: int, window: list[int], shifted: bool, num_iters: int
) -> tuple[tuple[int], list[dict[str, Any]]]:
    """The grid of programs, and the arguments of the kernel for one or two grids of windows."""
    size = [1] * (5 - x.ndim) + list(x.shape[1:-1])
    window = [1] * (5 - x.ndim) + list(window)
    number = [-(-s // p) for s, p in zip(size, window, strict=True)]
    num_heads = x.shape[-1] // head_dim
    heads = heads_of_program(num_heads, head_dim)
    tile_c = max(SMALLEST_SIDE, power_of_two(heads * head_dim))
    groups = -(-num_heads // heads)
    narrow = heads * head_dim % 8 != 0
    voxels = VOXELS // (4 if narrow else 2 if x.dtype == torch.float32 else 1)
    arguments: dict[str, Any] = {f"S{axis}": s for axis, s in enumerate(size)}
    arguments |= {f"P{axis}": p for axis, p in enumerate(window)}
    arguments |= {f"N{axis}": n for axis, n in enumerate(number)}
    arguments |= {
        "C": x.shape[-1], "GROUPS": groups, "E": head_dim, "T": num_iters, "HEADS": heads, "TILE_C": tile_c,
        "TILE_T": power_of_two(num_iters),
        "TYPE": tl.float16 if x.dtype == torch.float16 else tl.float32,
        "PRECISION": "tf32x3" if x.dtype == torch.float32 else "tf32",  # which holds a bfloat16 exactly
        "TINY": EPS, "num_warps": 2,
    }  # fmt: skip
    launches = []
    for last in [False, True] if shifted else [True]:
        offset = [(p // 2) * (shifted and last) for p in window]
        half = [p - o for p, o in zip(window, offset, strict=True)]
        tiles = (min(voxels, max(SMALLEST_SIDE, power_of_two(prod(box)))) for box in (window, half))
        launch = dict(zip(("O0", "O1", "O2", "TILE_N", "TILE_H"), (*offset, *tiles), strict=True))
        halves = prod(2 if o else 1 for o in offset)
        launches.append(arguments | launch | {"BOTH": shifted, "APPLY": last, "HALVES": halves})
    return (x.shape[0] * prod(number) * groups,), launches


@triton.jit
def _channels(C, GROUPS, E: tl.constexpr, HEADS: tl.constexpr, TILE_C: tl.constexpr):
    """The channels `(TILE_C,)` of this program and of the volume, which exist, and which are of one head (two axes)."""
    row = tl.arange(0, TILE_C)
    channel = tl.program_id(0) % GROUPS * (HEADS * E) + row
    return row, channel, (row < HEADS * E) & (channel < C), row[:, None] // E == row[None, :] // E


@triton.jit
def _window(N0, N1, N2, GROUPS):
    """The image and the place of this program's window. Programs of one window, side by side, share what is cached."""
    index = tl.program_id(0) // GROUPS
    return (index // (N0 * N1 * N2)).to(tl.int64), index // (N1 * N2) % N0, index // N2 % N1, index % N2


@triton.jit
def _voxels(item, n0, n1, n2, p0, p1, p2, O0, O1, O2, S0, S1, S2, P0, P1, P2, N0, N1, N2):
    """The voxels at places `p` of a window whose grid begins `O` before the volume, and which of them exist."""
    d, h, w = n0 * P0 + p0 - O0, n1 * P1 + p1 - O1, n2 * P2 + p2 - O2
    d, h, w = tl.where(d < 0, d + N0 * P0, d), tl.where(h < 0, h + N1 * P1, h), tl.where(w < 0, w + N2 * P2, w)
    return ((item * S0 + d) * S1 + h) * S2 + w, (d < S0) & (h < S1) & (w < S2)


@triton.jit
def _along_axes(half, O1: tl.constexpr, O2: tl.constexpr):
    """Whether it is the first (0) or the second half along each axis; where a grid has no offset there is one."""
    number1: tl.constexpr = 2 if O1 else 1
    number2: tl.constexpr = 2 if O2 else 1
    return half // (number1 * number2), half // number2 % number1, half % number2


@triton.jit
def _in_half(l, half, P: tl.constexpr, O: tl.constexpr):
    """Places `l` of a half as places of the window, and which of them it has."""
    return half * O + l, l < (tl.where(half == 0, O, P - O) if O else P)


@triton.jit
def _regular(n, half, N, O: tl.constexpr):
    """The regular grid's window that has this half of the shifted grid's window `n`."""
    n += half - (1 if O else 0)
    return tl.where(n < 0, n + N, n)


@triton.jit
def _relu(y):
    """Lets NaN through, as PyTorch's does."""
    return tl.maximum(y, 0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _of_heads(a, same):
    """The sum over the channels of its head, for each of `a` `(TILE_C,)`."""
    return tl.sum(tl.where(same, a[None, :], 0), axis=1)


@triton.jit
def _size_of_heads(largest, same):
    """Powers of two near the largest number of each head `(TILE_C,)`, made of the bits of its exponent."""
    largest = tl.max(tl.where(same, largest[None, :], 0), axis=1)
    size = (largest.to(tl.int32, bitcast=True) & 0x7F800000).to(tl.float32, bitcast=True)
    return tl.where((size > SMALLEST_SIZE) & (size < float("inf")), size, SMALLEST_SIZE)


@triton.jit
def _length(a, same, TINY: tl.constexpr):
    """That of each head, for each of its channels."""
    return tl.maximum(tl.sqrt(_of_heads(a * a, same)), TINY)


@triton.jit
def _along(k, u, same):
    """`K u` of each head; what is not finite stays in its head."""
    return tl.sum(tl.where(same, k * u[None, :], 0), axis=1)


@triton.jit
def _first_step(k, a, same, TINY: tl.constexpr):
    """`K` and `a` divided by their lengths, of which `u` does not depend; then `w = K^(T-1) a` stays in range."""
    length_of_k = tl.maximum(tl.sqrt(_of_heads(tl.sum(k * k, axis=1), same)), TINY)
    length_of_a = _length(a, same, TINY)
    return k / length_of_k[:, None], a / length_of_a, length_of_k, length_of_a


@triton.jit
def _outer(a, b, same):
    """`a b^T` of each head."""
    return tl.where(same, a[:, None] * b[None, :], 0)


@triton.jit
def _summary(
    x, grad, v0, item, n0, n1, n2, channel, exists, same, S0, S1, S2, P0, P1, P2, N0, N1, N2, O0, O1, O2, C,
    TILE_C: tl.constexpr, TILE_N: tl.constexpr, TYPE: tl.constexpr, PRECISION: tl.constexpr,
    BACKWARD: tl.constexpr,
):  # fmt: skip
    """`K`, `a` and the size that `X` was divided by; for the backward pass `Y^T G`, else zeros."""
    k = tl.zeros((TILE_C, TILE_C), tl.float32)
    cross = tl.zeros((TILE_C, TILE_C), tl.float32)
    a = tl.zeros((TILE_N, TILE_C), tl.float32)
    size = _size_of_heads(tl.zeros((TILE_C,), tl.float32), same)
    for start in range(0, P0 * P1 * P2, TILE_N):
        place = start + tl.arange(0, TILE_N)
        voxel, inside = _voxels(
            item, n0, n1, n2, place // (P1 * P2), place // P2 % P1, place % P2,
            O0, O1, O2, S0, S1, S2, P0, P1, P2, N0, N1, N2,
        )  # fmt: skip
        of_window = place < P0 * P1 * P2
        offsets, mask = _numbers(voxel, inside & of_window, channel, exists, C)
        y = _relu(tl.load(x + offsets, mask=mask, other=0)).to(TYPE)
        v = tl.load(v0 + place, mask=of_window, other=0)
        if TYPE == tl.float32:
            larger = tl.maximum(size, _size_of_heads(tl.max(y, axis=0), same))
            y /= larger[None, :]
            size /= larger
            k *= size[None, :] * size[None, :]
            a *= size[None, :]
            cross *= size[:, None]
            size = larger
        k = tl.dot(tl.trans(y), y, k, input_precision=PRECISION)
        a += y.to(tl.float32) * v[:, None]
        if BACKWARD:
            g = tl.load(grad + offsets, mask=mask, other=0).to(TYPE)
            cross = tl.dot(tl.trans(y), g, cross, input_precision=PRECISION)
    return tl.where(same, k, 0), tl.sum(a, axis=0), size, tl.where(same, cross, 0)


@triton.jit
def _numbers(voxel, inside, channel, exists, C):
    """Where the numbers of voxels are, `(voxels, TILE_C)`, and which of them exist."""
    return voxel[:, None] * C + channel[None, :], inside[:, None] & exists[None, :]


@triton.jit
def _half_voxels(
    start, half, item, n0, n1, n2, S0, S1, S2, P0: tl.constexpr, P1: tl.constexpr, P2: tl.constexpr,
    N0, N1, N2, O0: tl.constexpr, O1: tl.constexpr, O2: tl.constexpr, TILE_H: tl.constexpr,
):  # fmt: skip
    """Voxels of a half along each axis, which of them exist, and their places in windows of this and the regular grid.

    All of them are of one window of each grid.
    """
    half0, half1, half2 = _along_axes(half, O1, O2)
    side1: tl.constexpr = P1 - O1
    side2: tl.constexpr = P2 - O2
    place = start + tl.arange(0, TILE_H)
    p0, in0 = _in_half(place // (side1 * side2), half0, P0, O0)
    p1, in1 = _in_half(place // side2 % side1, half1, P1, O1)
    p2, in2 = _in_half(place % side2, half2, P2, O2)
    voxel, inside = _voxels(item, n0, n1, n2, p0, p1, p2, O0, O1, O2, S0, S1, S2, P0, P1, P2, N0, N1, N2)
    r0, r1, r2 = (p0 + P0 - O0) % P0, (p1 + P1 - O1) % P1, (p2 + P2 - O2) % P2
    return voxel, inside & in0 & in1 & in2, (p0 * P1 + p1) * P2 + p2, (r0 * P1 + r1) * P2 + r2


@triton.jit
def _regular_program(half, item, n0, n1, n2, N0, N1, N2, O0: tl.constexpr, O1: tl.constexpr, O2: tl.constexpr, GROUPS):
    """The program of the regular grid that had the same heads and the window of this half."""
    half0, half1, half2 = _along_axes(half, O1, O2)
    n0, n1, n2 = _regular(n0, half0, N0, O0), _regular(n1, half1, N1, O1), _regular(n2, half2, N2, O2)
    return (((item * N0 + n0) * N1 + n1) * N2 + n2) * GROUPS + tl.program_id(0) % GROUPS


@triton.jit(do_not_specialize=SIZES)
def _forward_kernel(
    x, v0, us, out,
    S0, S1, S2, P0: tl.constexpr, P1: tl.constexpr, P2: tl.constexpr, N0, N1, N2,
    O0: tl.constexpr, O1: tl.constexpr, O2: tl.constexpr, C, GROUPS, E: tl.constexpr, T: tl.constexpr,
    HEADS: tl.constexpr, TILE_C: tl.constexpr, TILE_N: tl.constexpr, TILE_H: tl.constexpr, TILE_T: tl.constexpr,
    TYPE: tl.constexpr, PRECISION: tl.constexpr, TINY: tl.constexpr, BOTH: tl.constexpr, APPLY: tl.constexpr,
    HALVES: tl.constexpr,
):  # fmt: skip
    row, channel, exists, same = _channels(C, GROUPS, E, HEADS, TILE_C)
    item, n0, n1, n2 = _window(N0, N1, N2, GROUPS)
    k, a, _size, _cross = _summary(
        x, x, v0, item, n0, n1, n2, channel, exists, same, S0, S1, S2, P0, P1, P2, N0, N1, N2, O0, O1, O2, C,
        TILE_C, TILE_N, TYPE, PRECISION, False,
    )  # fmt: skip
    k, w, _length_of_k, _length_of_a = _first_step(k, a, same, TINY)
    for _step in tl.static_range(T - 1):
        w = _along(k, w, same)
    u = w / _length(w, same, TINY)
    if not APPLY:
        tl.store(us + tl.program_id(0) * TILE_C + row, u)
    else:
        for half in range(HALVES):
            p = _outer(u, u, same)
            if BOTH:
                program = _regular_program(half, item, n0, n1, n2, N0, N1, N2, O0, O1, O2, GROUPS)
                other = tl.load(us + program * TILE_C + row)
                p = (p + _outer(other, other, same)) / 2
            for start in range(0, (P0 - O0) * (P1 - O1) * (P2 - O2), TILE_H):
                voxel, inside, _place, _regular_place = _half_voxels(
                    start, half, item, n0, n1, n2, S0, S1, S2, P0, P1, P2, N0, N1, N2, O0, O1, O2, TILE_H,
                )  # fmt: skip
                offsets, mask = _numbers(voxel, inside, channel, exists, C)
                y = _relu(tl.load(x + offsets, mask=mask, other=0)).to(TYPE)
                z = tl.dot(y, p.to(TYPE), input_precision=PRECISION)
                tl.store(out + offsets, z.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=SIZES)
def _backward_kernel(
    grad, x, v0, us, das, ds, dx,
    S0, S1, S2, P0: tl.constexpr, P1: tl.constexpr, P2: tl.constexpr, N0, N1, N2,
    O0: tl.constexpr, O1: tl.constexpr, O2: tl.constexpr, C, GROUPS, E: tl.constexpr, T: tl.constexpr,
    HEADS: tl.constexpr, TILE_C: tl.constexpr, TILE_N: tl.constexpr, TILE_H: tl.constexpr, TILE_T: tl.constexpr,
    TYPE: tl.constexpr, PRECISION: tl.constexpr, TINY: tl.constexpr, BOTH: tl.constexpr, APPLY: tl.constexpr,
    HALVES: tl.constexpr,
):  # fmt: skip
    row, channel, exists, same = _channels(C, GROUPS, E, HEADS, TILE_C)
    item, n0, n1, n2 = _window(N0, N1, N2, GROUPS)
    k, a, size, cross = _summary(
        x, grad, v0, item, n0, n1, n2, channel, exists, same, S0, S1, S2, P0, P1, P2, N0, N1, N2, O0, O1, O2, C,
        TILE_C, TILE_N, TYPE, PRECISION, True,
    )  # fmt: skip

    # The vectors w_1 .. w_T, in the first axis.
    step = tl.arange(0, TILE_T)[:, None]
    k, w, length_of_k, length_of_a = _first_step(k, a, same, TINY)
    ws = tl.where(step == 0, w[None, :], 0)
    for t in tl.static_range(1, T):
        w = _along(k, w, same)
        ws = tl.where(step == t, w[None, :], ws)
    length = _length(w, same, TINY)
    u = w / length

    # dY = G P + Y D + v0 da^T with D = dK + dK^T, as in `gradient` of `rank_one.py`.
    du = _along(cross, u, same) + tl.sum(tl.where(same, cross * u[:, None], 0), axis=0)
    dw = (du - u * _of_heads(u * du, same)) / length
    d = tl.zeros((TILE_C, TILE_C), tl.float32)
    for back in tl.static_range(T - 1):
        before = tl.sum(tl.where(step == T - 2 - back, ws, 0), axis=0)
        d += _outer(dw, before, same) + _outer(before, dw, same)
        dw = _along(k, dw, same)
    d /= length_of_k[:, None]
    da = dw / length_of_a
    if TYPE == tl.float32:
        d /= size[:, None]

    # Of `d`, the rows of each head's block, `(TILE_C, E)`.
    blocks = row[:, None] * E + row[None, :] % E
    if not APPLY:
        tl.store(us + tl.program_id(0) * TILE_C + row, u)
        tl.store(das + tl.program_id(0) * TILE_C + row, da)
        tl.store(ds + tl.program_id(0) * (TILE_C * E) + blocks, d, mask=same)
    else:
        for half in range(HALVES):
            p, d_both, da_regular = _outer(u, u, same), d, tl.zeros_like(da)
            if BOTH:
                program = _regular_program(half, item, n0, n1, n2, N0, N1, N2, O0, O1, O2, GROUPS)
                other = tl.load(us + program * TILE_C + row)
                da_regular = tl.load(das + program * TILE_C + row) / 2
                d_both = (d + tl.load(ds + program * (TILE_C * E) + blocks, mask=same, other=0)) / 2
                p = (p + _outer(other, other, same)) / 2
            scale = _size_of_heads(tl.max(tl.abs(d_both), axis=0), same)
            d_both /= scale[None, :]
            for start in range(0, (P0 - O0) * (P1 - O1) * (P2 - O2), TILE_H):
                voxel, inside, place, regular_place = _half_voxels(
                    start, half, item, n0, n1, n2, S0, S1, S2, P0, P1, P2, N0, N1, N2, O0, O1, O2, TILE_H,
                )  # fmt: skip
                offsets, mask = _numbers(voxel, inside, channel, exists, C)
                y = _relu(tl.load(x + offsets, mask=mask, other=0)).to(TYPE)
                g = tl.load(grad + offsets, mask=mask, other=0).to(TYPE)
                dy = tl.dot(y, d_both.to(TYPE), input_precision=PRECISION) * scale[None, :]
                dy = tl.dot(g, p.to(TYPE), dy, input_precision=PRECISION)
                v = tl.load(v0 + place, mask=inside, other=0)
                if BOTH:
                    dy += tl.load(v0 + regular_place, mask=inside, other=0)[:, None] * da_regular[None, :]
                    v /= 2
                dy += v[:, None] * da[None, :]
                dy = tl.where(y <= 0, 0, dy)  # NaN stays
                tl.store(dx + offsets, dy.to(dx.dtype.element_ty), mask=mask)
