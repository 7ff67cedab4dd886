"""Fused kernels: a program reads a window of one or more heads once, factorizes it on chip and writes it once.

The matrix of a window stays in registers for all `T` iterations, so that the power iteration needs no `K = X X^T`: with
`Y = X^T` on chip, `K u` is `Y^T (Y u)`. All arithmetic is in float32, whatever the volume is stored in. The windows of
the regular grid are written, those of the shifted grid are added in a second launch.
"""

from math import prod
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from nnunetv2_factorizer.factorization.kernels import heads_of_program, power_of_two
from nnunetv2_factorizer.factorization.rank_one import EPS

SIZES = [f"{kind}{axis}" for kind in "SNO" for axis in range(3)] + ["H", "GROUPS"]
"""Arguments for whose values nothing is compiled anew. `C` is not among them: loads are wide where 16 divides it."""

NUMBERS_PER_WARP = 1024
"""So many of the tile for each warp: twice as many, and the backward kernel's registers no longer hold them."""


def mix_windows(x: Tensor, v0: Tensor, head_dim: int, window: list[int], shifted: bool, num_iters: int) -> Tensor:
    """What `mix` does on a contiguous `(B, *S, C)` with one to three spatial axes."""
    out = torch.empty_like(x)
    with torch.cuda.device_of(x):
        for grid, launch in _launches(x, v0, head_dim, window, shifted, num_iters):
            _forward_kernel[grid](x, v0, out, **launch)
    return out


def mix_windows_backward(
    grad: Tensor, x: Tensor, v0: Tensor, head_dim: int, window: list[int], shifted: bool, num_iters: int
) -> Tensor:
    """The gradient with respect to `x` `(B, *S, C)`."""
    dx = torch.empty_like(x)
    with torch.cuda.device_of(x):
        for grid, launch in _launches(x, v0, head_dim, window, shifted, num_iters):
            _backward_kernel[grid](grad, x, v0, dx, **launch)
    return dx


def _launches(
    x: Tensor, v0: Tensor, head_dim: int, window: list[int], shifted: bool, num_iters: int
) -> list[tuple[tuple[int], dict[str, Any]]]:
    """The grid of programs and the arguments of the kernel, for one or two grids of windows."""
    size = [1] * (5 - x.ndim) + list(x.shape[1:-1])
    window = [1] * (5 - x.ndim) + list(window)
    number = [-(-s // p) for s, p in zip(size, window, strict=True)]
    num_heads = x.shape[-1] // head_dim
    heads = heads_of_program(num_heads, head_dim, window, x.element_size())
    tile = heads * power_of_two(len(v0)) * power_of_two(head_dim)
    launches = []
    for add in range(1 + shifted):
        arguments: dict[str, Any] = {f"S{axis}": s for axis, s in enumerate(size)}
        arguments |= {f"P{axis}": p for axis, p in enumerate(window)}
        arguments |= {f"N{axis}": n for axis, n in enumerate(number)}
        arguments |= {f"O{axis}": add * (p // 2) for axis, p in enumerate(window)}
        arguments |= {
            "C": x.shape[-1], "H": num_heads, "GROUPS": -(-num_heads // heads),
            "E": head_dim, "T": num_iters, "HEADS": heads,
            "TILE_N": power_of_two(len(v0)), "TILE_E": power_of_two(head_dim), "TILE_T": power_of_two(num_iters),
            "SCALE": 1 / (1 + shifted), "ADD": bool(add), "TINY": EPS,
            "num_warps": min(16, max(1, tile // NUMBERS_PER_WARP)),
        }  # fmt: skip
        launches.append(((x.shape[0] * prod(number) * arguments["GROUPS"],), arguments))
    return launches


@triton.jit
def _tile(S0, S1, S2, P0, P1, P2, N0, N1, N2, O0, O1, O2, C, H, GROUPS, E, HEADS, TILE_N, TILE_E):
    """Where the numbers `(TILE_N, HEADS, TILE_E)` of this program's window and heads are, and which of them exist.

    Programs of one window follow each other: what one of them reads beside its own heads, the next finds in the cache.
    """
    index = tl.program_id(0) // GROUPS
    place = tl.arange(0, TILE_N)
    # Rolled coordinates; those beyond the volume are padding.
    d = ((index // (N1 * N2) % N0) * P0 + place // (P1 * P2) - O0 + N0 * P0) % (N0 * P0)
    h = ((index // N2 % N1) * P1 + place // P2 % P1 - O1 + N1 * P1) % (N1 * P1)
    w = ((index % N2) * P2 + place % P2 - O2 + N2 * P2) % (N2 * P2)
    inside = (place < P0 * P1 * P2) & (d < S0) & (h < S1) & (w < S2)
    item = (index // (N0 * N1 * N2)).to(tl.int64)
    voxel = ((item * S0 + d) * S1 + h) * S2 + w
    head = tl.program_id(0) % GROUPS * HEADS + tl.arange(0, HEADS)
    row = tl.arange(0, TILE_E)
    channel = head[:, None] * E + row[None, :]
    exists = (head[:, None] < H) & (row[None, :] < E)
    return voxel[:, None, None] * C + channel[None, :, :], inside[:, None, None] & exists[None, :, :]


@triton.jit
def _along_rows(y, u):
    """`Y u`: `(TILE_N, HEADS)`."""
    return tl.sum(y * u[None, :, :], axis=2)


@triton.jit
def _along_columns(y, s):
    """`Y^T s`: `(HEADS, TILE_E)`."""
    return tl.sum(y * s[:, :, None], axis=0)


@triton.jit
def _size_of_heads(y, v):
    """That of `scaled` in `rank_one.py`: `(HEADS,)`, the power of two is the exponent's bits alone."""
    largest = tl.max(_along_columns(y, v), axis=1)
    size = (largest.to(tl.int32, bitcast=True) & 0x7F800000).to(tl.float32, bitcast=True)
    return tl.where((size > 0) & (size < float("inf")), size, 1.0)


@triton.jit
def _length(a, TINY):
    """`(HEADS,)`."""
    return tl.maximum(tl.sqrt(tl.sum(a * a, axis=1)), TINY)


@triton.jit(do_not_specialize=SIZES)
def _forward_kernel(
    x, v0, out,
    S0, S1, S2, P0: tl.constexpr, P1: tl.constexpr, P2: tl.constexpr, N0, N1, N2, O0, O1, O2, C, H, GROUPS,
    E: tl.constexpr, T: tl.constexpr, HEADS: tl.constexpr, TILE_N: tl.constexpr, TILE_E: tl.constexpr,
    TILE_T: tl.constexpr, SCALE: tl.constexpr, ADD: tl.constexpr, TINY: tl.constexpr,
):  # fmt: skip
    offsets, exists = _tile(S0, S1, S2, P0, P1, P2, N0, N1, N2, O0, O1, O2, C, H, GROUPS, E, HEADS, TILE_N, TILE_E)
    y = tl.load(x + offsets, mask=exists, other=0).to(tl.float32)
    y = tl.where(y < 0, 0, y)  # lets NaN through, as PyTorch's ReLU does
    place = tl.arange(0, TILE_N)
    s = tl.load(v0 + place, mask=place < P0 * P1 * P2, other=0).to(tl.float32)[:, None]
    size = _size_of_heads(y, s)
    y = y / size[None, :, None]
    u = tl.zeros((HEADS, TILE_E), tl.float32)
    for _ in tl.static_range(T):
        a = _along_columns(y, s)
        u = a / _length(a, TINY)[:, None]
        s = _along_rows(y, u)
    z = (s * size[None, :])[:, :, None] * u[None, :, :] * SCALE
    if ADD:
        z += tl.load(out + offsets, mask=exists, other=0).to(tl.float32)
    tl.store(out + offsets, z.to(out.dtype.element_ty), mask=exists)


@triton.jit
def _normalise_backward(du, u, length):
    """The gradient with respect to `w` where `u = w / ||w||`."""
    return (du - u * tl.sum(u * du, axis=1)[:, None]) / length[:, None]


@triton.jit(do_not_specialize=SIZES)
def _backward_kernel(
    grad, x, v0, dx,
    S0, S1, S2, P0: tl.constexpr, P1: tl.constexpr, P2: tl.constexpr, N0, N1, N2, O0, O1, O2, C, H, GROUPS,
    E: tl.constexpr, T: tl.constexpr, HEADS: tl.constexpr, TILE_N: tl.constexpr, TILE_E: tl.constexpr,
    TILE_T: tl.constexpr, SCALE: tl.constexpr, ADD: tl.constexpr, TINY: tl.constexpr,
):  # fmt: skip
    offsets, exists = _tile(S0, S1, S2, P0, P1, P2, N0, N1, N2, O0, O1, O2, C, H, GROUPS, E, HEADS, TILE_N, TILE_E)
    y = tl.load(x + offsets, mask=exists, other=0).to(tl.float32)
    y = tl.where(y < 0, 0, y)  # lets NaN through, as PyTorch's ReLU does
    g = tl.load(grad + offsets, mask=exists, other=0).to(tl.float32) * SCALE
    place = tl.arange(0, TILE_N)
    v = tl.load(v0 + place, mask=place < P0 * P1 * P2, other=0).to(tl.float32)[:, None]
    y = y / _size_of_heads(y, v)[None, :, None]

    # The directions u_1 .. u_T and the lengths they had, step by step in the first axis.
    step = tl.arange(0, TILE_T)
    directions = tl.zeros((TILE_T, HEADS, TILE_E), tl.float32)
    lengths = tl.zeros((TILE_T, HEADS), tl.float32)
    u = tl.zeros((HEADS, TILE_E), tl.float32)
    s = v
    for t in tl.static_range(T):
        a = _along_columns(y, s)
        length = _length(a, TINY)
        u = a / length[:, None]
        s = _along_rows(y, u)
        directions = tl.where((step == t)[:, None, None], u[None, :, :], directions)
        lengths = tl.where((step == t)[:, None], length[None, :], lengths)

    # dY = q u^T + sum_t (Y dw_t u_{t-1}^T + Y u_{t-1} dw_t^T) + v0 da^T, without ever making dK.
    q = _along_rows(g, u)
    du = _along_columns(g, s) + _along_columns(y, q)
    dy = q[:, :, None] * u[None, :, :]
    for back in tl.static_range(T - 1):
        t = T - 1 - back
        u = tl.sum(tl.where((step == t)[:, None, None], directions, 0), axis=0)
        before = tl.sum(tl.where((step == t - 1)[:, None, None], directions, 0), axis=0)
        dw = _normalise_backward(du, u, tl.sum(tl.where((step == t)[:, None], lengths, 0), axis=0))
        along_dw = _along_rows(y, dw)
        dy += along_dw[:, :, None] * before[None, :, :] + _along_rows(y, before)[:, :, None] * dw[None, :, :]
        du = _along_columns(y, along_dw)
    u = tl.sum(tl.where((step == 0)[:, None, None], directions, 0), axis=0)
    da = _normalise_backward(du, u, tl.sum(tl.where((step == 0)[:, None], lengths, 0), axis=0))
    dy = tl.where(y <= 0, 0, dy + v[:, :, None] * da[None, :, :])  # NaN stays
    if ADD:
        dy += tl.load(dx + offsets, mask=exists, other=0).to(tl.float32)
    tl.store(dx + offsets, dy.to(dx.dtype.element_ty), mask=exists)
