"""The layers of each voxel before and after mixing in Triton, on rows `(N, C)`: a kernel forward and one backward each.

A program takes tiles of rows one after the other, and what it makes between the layers stays on the chip. What it sums
for the gradients of the weights it writes after the last tile, and PyTorch adds what all programs give: no atomic
additions, so the same numbers come out every time. A bias is summed by a product with ones, on tensor cores.

Layer norms have no weight and no bias here: those are in the linear layer that follows, see `voxelwise.py`.
Statistics and sums are in float32; what is multiplied is in the type of the weights.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

EPS = tl.constexpr(1e-5)
"""Of `nn.LayerNorm`."""

ONES = tl.constexpr(8)
"""Columns of ones: as many as tensor cores multiply at least."""

ROWS = 64
"""Of a tile."""

PROGRAMS = 1024
"""At most: several for each multiprocessor of a GPU."""

TILES = 32
"""Of a program, at least: what it sums are few numbers beside its rows."""

WEIGHT_BLOCK = 64
"""Hidden channels for whose weights a program has registers."""

VOLUME_BLOCK = 32
"""Hidden channels at a time in a program that has other sums."""

WARPS = 4


def before(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """`LayerNorm(x) w^T + b` in the type of `w`, for `x` `(N, C)`, `w` `(C, C)` and `b` `(C,)` in float32."""
    out = x.new_empty(x.shape, dtype=w.dtype)
    programs, launch = _launch(x)
    with torch.cuda.device_of(x):
        _before_kernel[programs,](x, w, b, out, **launch)
    return out


def before_backward(grad: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients with respect to `x`, and in float32 `w` and `b`."""
    dx = torch.empty_like(x)
    programs, launch = _launch(x)
    dw, db = _parts(x, programs, w)
    with torch.cuda.device_of(x):
        _before_backward_kernel[programs,](grad, x, w, dx, dw, db, **launch)
    return dx, dw.sum(0), db.sum(0)


def after(
    x: Tensor, mixed: Tensor, dtype: torch.dtype, w: Tensor, b: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
) -> Tensor:
    """`y + GELU(LayerNorm(y) w1^T + b1) w2 + b2` with `y = x + mixed w^T + b`, in `dtype`.

    `w1` and `w2` are both `(hidden, C)`, the biases in float32.
    """
    out = x.new_empty(x.shape, dtype=dtype)
    programs, launch = _launch(x)
    launch |= {"HIDDEN": len(w1), "BLOCK": min(len(w1), WEIGHT_BLOCK)}
    with torch.cuda.device_of(x):
        _after_kernel[programs,](x, mixed, w, b, w1, b1, w2, b2, out, **launch)
    return out


def after_backward(
    grad: Tensor, x: Tensor, mixed: Tensor, w: Tensor, b: Tensor, w1: Tensor, b1: Tensor, w2: Tensor
) -> tuple[Tensor, ...]:
    """The gradients with respect to `x`, `mixed`, and in float32 `w`, `b`, `w1`, `b1`, `w2` and `b2`."""
    dx, dmixed = torch.empty_like(x), torch.empty_like(mixed)
    programs, launch = _launch(x)
    (dw, db), (dw1, db1) = _parts(x, programs, w), _parts(x, programs, w1)
    dw2, db2 = torch.empty_like(dw1), torch.empty_like(db)
    arguments = grad, x, mixed, w, b, w1, b1, w2, dx, dmixed, dw, db, dw1, db1, dw2, db2
    with torch.cuda.device_of(x):
        for more in backward_launches(w1):
            grid = (len(w1) // more["BLOCK"] if more["WEIGHTS"] else 1), programs
            _after_backward_kernel[grid](*arguments, **launch, **more)
    return dx, dmixed, *(parts.sum(0) for parts in (dw, db, dw1, db1, dw2, db2))


def backward_launches(w1: Tensor) -> list[dict[str, Any]]:
    """One that does all; where that takes too many registers, one for volumes and one for the weights of the MLP."""
    hidden, channels = w1.shape
    if hidden <= WEIGHT_BLOCK and channels <= WEIGHT_BLOCK // 2:
        return [{"HIDDEN": hidden, "BLOCK": hidden, "VOLUMES": True, "WEIGHTS": True}]
    volumes = {"BLOCK": min(hidden, VOLUME_BLOCK), "VOLUMES": True, "WEIGHTS": False}
    weights = {"BLOCK": min(hidden, WEIGHT_BLOCK), "VOLUMES": False, "WEIGHTS": True}
    return [{"HIDDEN": hidden} | volumes, {"HIDDEN": hidden} | weights]


def _parts(x: Tensor, programs: int, w: Tensor) -> list[Tensor]:
    """For the gradients of a weight and a bias, from each program."""
    return [x.new_empty(programs, *shape, dtype=torch.float32) for shape in (w.shape, w.shape[:1])]


def _launch(x: Tensor) -> tuple[int, dict[str, Any]]:
    """The number of programs, and arguments that all kernels have."""
    tiles = triton.cdiv(len(x), ROWS)
    each = max(TILES, triton.cdiv(tiles, PROGRAMS))
    launch = {"NUMBER": len(x), "EACH": each, "C": x.shape[1], "ROWS": ROWS, "num_warps": WARPS}
    return triton.cdiv(tiles, each), launch


@triton.jit
def _matrix(w, HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    return tl.load(w + tl.arange(0, HEIGHT)[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :])


@triton.jit
def _vector(b, LENGTH: tl.constexpr):
    return tl.load(b + tl.arange(0, LENGTH))[None, :]


@triton.jit
def _store(weights, biases, weight, bias, place, HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    """Sums for a weight and a bias; all columns of the latter are equal."""
    row = place * HEIGHT + tl.arange(0, HEIGHT)
    tl.store(weights + row[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :], weight)
    tl.store(biases + row, tl.sum(bias, axis=1) / ONES)


@triton.jit
def _zeros(HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    return tl.zeros((HEIGHT, WIDTH), tl.float32)


@triton.jit
def _last(first, EACH, NUMBER, ROWS: tl.constexpr):
    """Behind the last tile of a program."""
    return tl.minimum(first + EACH, tl.cdiv(NUMBER, ROWS))


@triton.jit
def _tile(tile, NUMBER, C: tl.constexpr, ROWS: tl.constexpr):
    """Where the numbers of a tile are, and which of them exist."""
    row = tl.cast(tile, tl.int64) * ROWS + tl.arange(0, ROWS)
    return row[:, None] * C + tl.arange(0, C)[None, :], (row < NUMBER)[:, None]


@triton.jit
def _normalised(y, C: tl.constexpr):
    """`y` `(ROWS, C)` without its mean and divided by its deviation, and one over that."""
    centred = y - tl.sum(y, axis=1)[:, None] / C
    inverse = tl.rsqrt(tl.sum(centred * centred, axis=1) / C + EPS)[:, None]
    return centred * inverse, inverse


@triton.jit
def _normalised_backward(grad, normalised, inverse, C: tl.constexpr):
    mean = tl.sum(grad, axis=1)[:, None] / C
    along = tl.sum(grad * normalised, axis=1)[:, None] / C
    return (grad - mean - normalised * along) * inverse


@triton.jit
def _normal(h):
    """The distribution function of the normal distribution, and its density.

    The first by formula 26.2.17 of Abramowitz and Stegun: its error of 7.5e-8 is that of float32, and it shares the
    exponential function with the second. `erf` takes twice as many instructions.
    """
    density = 0.3989422804014327 * tl.exp2(-0.7213475204444817 * h * h)
    t = 1 / (1 + 0.2316419 * tl.abs(h))
    factor = ((((1.330274429 * t - 1.821255978) * t + 1.781477937) * t - 0.356563782) * t + 0.319381530) * t
    beyond = density * factor
    return tl.where(h >= 0, 1 - beyond, beyond), density


@triton.jit(do_not_specialize=["NUMBER", "EACH"])
def _before_kernel(x, w, b, out, NUMBER, EACH, C: tl.constexpr, ROWS: tl.constexpr):
    weight, bias = _matrix(w, C, C), _vector(b, C)
    first = tl.program_id(0) * EACH
    for tile in range(first, _last(first, EACH, NUMBER, ROWS)):
        offsets, mask = _tile(tile, NUMBER, C, ROWS)
        n, _inverse = _normalised(tl.load(x + offsets, mask=mask, other=0).to(tl.float32), C)
        result = tl.dot(n.to(weight.dtype), tl.trans(weight)) + bias
        tl.store(out + offsets, result.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["NUMBER", "EACH"])
def _before_backward_kernel(grad, x, w, dx, dw, db, NUMBER, EACH, C: tl.constexpr, ROWS: tl.constexpr):
    weight = _matrix(w, C, C)
    ones = tl.full((ROWS, ONES), 1, tl.float32).to(weight.dtype)
    dweight, dbias = _zeros(C, C), _zeros(C, ONES)
    first = tl.program_id(0) * EACH
    for tile in range(first, _last(first, EACH, NUMBER, ROWS)):
        offsets, mask = _tile(tile, NUMBER, C, ROWS)
        g = tl.load(grad + offsets, mask=mask, other=0).to(weight.dtype)
        n, inverse = _normalised(tl.load(x + offsets, mask=mask, other=0).to(tl.float32), C)
        result = _normalised_backward(tl.dot(g, weight), n, inverse, C)
        tl.store(dx + offsets, result.to(dx.dtype.element_ty), mask=mask)
        dweight = tl.dot(tl.trans(g), n.to(weight.dtype), dweight)
        dbias = tl.dot(tl.trans(g), ones, dbias)
    _store(dw, db, dweight, dbias, tl.program_id(0), C, C)


@triton.jit(do_not_specialize=["NUMBER", "EACH"])
def _after_kernel(
    x, mixed, w, b, w1, b1, w2, b2, out,
    NUMBER, EACH, C: tl.constexpr, ROWS: tl.constexpr, HIDDEN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    TYPE: tl.constexpr = w.dtype.element_ty
    first = tl.program_id(0) * EACH
    # One stage: with more, weights wait in shared memory, and fewer programs share a multiprocessor.
    for tile in tl.range(first, _last(first, EACH, NUMBER, ROWS), num_stages=1):
        offsets, mask = _tile(tile, NUMBER, C, ROWS)
        m = tl.load(mixed + offsets, mask=mask, other=0).to(TYPE)
        y = tl.dot(m, tl.trans(_matrix(w, C, C))) + _vector(b, C)
        y += tl.load(x + offsets, mask=mask, other=0).to(tl.float32)
        normalised, _inverse = _normalised(y, C)
        n = normalised.to(TYPE)
        z = y + _vector(b2, C)
        for hidden in tl.range(0, HIDDEN, BLOCK, num_stages=1):
            h = tl.dot(n, tl.trans(_matrix(w1 + hidden * C, BLOCK, C))) + _vector(b1 + hidden, BLOCK)
            below, _density = _normal(h)
            z = tl.dot((h * below).to(TYPE), _matrix(w2 + hidden * C, BLOCK, C), z)
        tl.store(out + offsets, z.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["NUMBER", "EACH"])
def _after_backward_kernel(
    grad, x, mixed, w, b, w1, b1, w2, dx, dmixed, dw, db, dw1, db1, dw2, db2,
    NUMBER, EACH, C: tl.constexpr, ROWS: tl.constexpr, HIDDEN: tl.constexpr, BLOCK: tl.constexpr,
    VOLUMES: tl.constexpr, WEIGHTS: tl.constexpr,
):  # fmt: skip
    """With `VOLUMES` what needs all hidden channels, with `WEIGHTS` what belongs to a `BLOCK` of them."""
    TYPE: tl.constexpr = w.dtype.element_ty
    ones = tl.full((ROWS, ONES), 1, tl.float32).to(TYPE)
    dweight, dbias, dbias2 = _zeros(C, C), _zeros(C, ONES), _zeros(C, ONES)
    dweight1, dbias1, dweight2 = _zeros(BLOCK, C), _zeros(BLOCK, ONES), _zeros(BLOCK, C)
    block, program = tl.program_id(0) * BLOCK, tl.program_id(1)
    first = program * EACH
    for tile in tl.range(first, _last(first, EACH, NUMBER, ROWS), num_stages=1):
        offsets, mask = _tile(tile, NUMBER, C, ROWS)
        g = tl.load(grad + offsets, mask=mask, other=0).to(TYPE)
        m = tl.load(mixed + offsets, mask=mask, other=0).to(TYPE)
        y = tl.dot(m, tl.trans(_matrix(w, C, C))) + _vector(b, C)
        y += tl.load(x + offsets, mask=mask, other=0).to(tl.float32)
        normalised, inverse = _normalised(y, C)
        n = normalised.to(TYPE)
        dn = tl.zeros((ROWS, C), tl.float32)
        for hidden in tl.range(block, block + (HIDDEN if VOLUMES else BLOCK), BLOCK, num_stages=1):
            weight1 = _matrix(w1 + hidden * C, BLOCK, C)
            h = tl.dot(n, tl.trans(weight1)) + _vector(b1 + hidden, BLOCK)
            da = tl.dot(g, tl.trans(_matrix(w2 + hidden * C, BLOCK, C)))
            below, density = _normal(h)
            dh = (da * (below + h * density)).to(TYPE)
            if WEIGHTS:
                dweight2 = tl.dot(tl.trans((h * below).to(TYPE)), g, dweight2)
                dweight1 = tl.dot(tl.trans(dh), n, dweight1)
                dbias1 = tl.dot(tl.trans(dh), ones, dbias1)
            if VOLUMES:
                dn = tl.dot(dh, weight1, dn)
        if VOLUMES:
            dbias2 = tl.dot(tl.trans(g), ones, dbias2)
            dz = tl.load(grad + offsets, mask=mask, other=0)  # once more, from the cache: registers are scarce
            dy = dz.to(tl.float32) + _normalised_backward(dn, normalised, inverse, C)
            tl.store(dx + offsets, dy.to(dx.dtype.element_ty), mask=mask)
            dy = dy.to(TYPE)
            dm = tl.dot(dy, _matrix(w, C, C))
            tl.store(dmixed + offsets, dm.to(dmixed.dtype.element_ty), mask=mask)
            dweight = tl.dot(tl.trans(dy), m, dweight)
            dbias = tl.dot(tl.trans(dy), ones, dbias)
    if VOLUMES:
        _store(dw, db, dweight, dbias, program, C, C)
        tl.store(db2 + program * C + tl.arange(0, C), tl.sum(dbias2, axis=1) / ONES)
    if WEIGHTS:
        place = program * (HIDDEN // BLOCK) + tl.program_id(0)
        _store(dw1, db1, dweight1, dbias1, place, BLOCK, C)
        row = place * BLOCK + tl.arange(0, BLOCK)
        tl.store(dw2 + row[:, None] * C + tl.arange(0, C)[None, :], dweight2)
