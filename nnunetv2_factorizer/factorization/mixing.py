"""The mixing layer as one operation: matricize, ReLU, rank-1 NMF, back to an image, average of the grids.

`mix` does what `matricize.inverse(nmf(relu(matricize(x))))` does for rank 1, a chunk of windows at a time: they are
copied out of the volume, factorized while they are in the cache, and written back. Nothing is rolled, padded or
stacked, and for the backward pass only the volume is kept, and `E x E` numbers a window and head. It is an operator of
`torch.library`, one node for `torch.compile` and `torch.export`.
"""

from collections.abc import Iterator, Sequence
from math import ceil, prod
from typing import Any, NoReturn

import torch
from torch import Tensor

from nnunetv2_factorizer.factorization.precision import without_autocast
from nnunetv2_factorizer.factorization.rank_one import gradient, projection, summarise
from nnunetv2_factorizer.factorization.windows import Chunk, chunks

CHUNK_NUMBERS = {"cpu": 2**19, "cuda": 2**28}
"""How many numbers are worked on at a time: on a CPU what its cache holds, on a GPU what keeps it busy."""


def mix(x: Tensor, v0: Tensor, *, head_dim: int, window: Sequence[int], shifted: bool, num_iters: int) -> Tensor:
    """The mean over one or two grids of windows of `dematricize(NMF(ReLU(matricize(x))))`, rank 1.

    Args:
        x: `(B, C, *S)`; channels-last memory is read as it is, any other is copied once.
        v0: `(prod(window), 1)`, positive; it gets no gradient.
        head_dim: E, divides C.
        window: P, voxels a side for each axis, at most those of the image; the whole image for one matrix a head.
        shifted: whether there is a second grid, moved by `P // 2` (the paper's Algorithm 3).
        num_iters: T.

    Returns:
        `(B, C, *S)`, channels-last, in the data type of `x`; computed in float32, or float64 if `x` is.
    """
    rows = x.movedim(1, -1).contiguous()
    return _mix(rows, v0, head_dim, list(window), shifted, num_iters)[0].movedim(-1, 1)


@torch.library.custom_op("nnunetv2_factorizer::mix", mutates_args=())
def _mix(
    x: Tensor, v0: Tensor, head_dim: int, window: Sequence[int], shifted: bool, num_iters: int
) -> tuple[Tensor, Tensor, Tensor]:
    """On `(B, *S, C)`; also gives `K` `(windows, H, E, E)` and `a` `(windows, H, E)`, the shifted grid's last."""
    out, k, a = _empty_results(x, v0, head_dim, window, shifted, num_iters)
    v0 = v0.to(k.dtype)
    with without_autocast(x):
        if _is_one_window(x, window, shifted):
            for item in range(len(x)):
                _mix_one_window(x[item].flatten(0, -2), v0, num_iters, out[item].flatten(0, -2), k[item], a[item])
            return out, k, a
        for chunk in _chunks(x, window, shifted):
            y = _cut(chunk, x, window, k.dtype).relu_()
            k[chunk.windows], a[chunk.windows] = summary = summarise(y, v0, head_dim)
            _join(chunk, y @ projection(*summary, num_iters).div_(1 + shifted), out, window)
    return out, k, a


@torch.library.custom_op("nnunetv2_factorizer::mix_backward", mutates_args=())
def _mix_backward(
    grad: Tensor, x: Tensor, v0: Tensor, k: Tensor, a: Tensor, window: Sequence[int], shifted: bool, num_iters: int
) -> Tensor:
    """The gradient with respect to `x` `(B, *S, C)`."""
    dx = torch.empty_like(x)
    v0 = v0.to(k.dtype)
    with without_autocast(x):
        if _is_one_window(x, window, shifted):
            for item in range(len(x)):
                grad_item, x_item, dx_item = (volume[item].flatten(0, -2) for volume in (grad, x, dx))
                _mix_one_window_backward(grad_item, x_item, dx_item, v0, num_iters, k[item], a[item])
            return dx
        for chunk in _chunks(x, window, shifted):
            y = _cut(chunk, x, window, k.dtype).relu_()
            g = _cut(chunk, grad, window, k.dtype).div_(1 + shifted)
            parts = gradient(y.mT @ g, k[chunk.windows], a[chunk.windows], num_iters)
            _join(chunk, _input_gradient(g, y, v0, *parts), dx, window)
    return dx


def _mix_one_window(x: Tensor, v0: Tensor, num_iters: int, out: Tensor, k: Tensor, a: Tensor) -> None:
    """One matrix a head over a whole image `(N, C)`: it is read twice, a stretch of voxels at a time."""
    stretches = _stretches(x)
    k.zero_()
    a.zero_()
    for s in stretches:
        for total, part in zip((k, a), summarise(x[s].to(k.dtype).relu(), v0[s], k.shape[-1]), strict=True):
            total += part
    p = projection(k, a, num_iters)
    for s in stretches:
        out[s] = x[s].to(k.dtype).relu() @ p


def _mix_one_window_backward(
    grad: Tensor, x: Tensor, dx: Tensor, v0: Tensor, num_iters: int, k: Tensor, a: Tensor
) -> None:
    stretches = _stretches(x)
    cross = torch.zeros(x.shape[-1], x.shape[-1], dtype=k.dtype, device=x.device)
    for s in stretches:
        cross += x[s].to(k.dtype).relu().mT @ grad[s].to(k.dtype)
    parts = gradient(cross, k, a, num_iters)
    for s in stretches:
        dx[s] = _input_gradient(grad[s].to(k.dtype), x[s].to(k.dtype).relu(), v0[s], *parts)


def _input_gradient(grad: Tensor, y: Tensor, v0: Tensor, p: Tensor, d: Tensor, da: Tensor) -> Tensor:
    """`G P + Y D + v0 da^T` where the ReLU let `y` through, 0 elsewhere."""
    dy = (grad @ p).add_(y @ d).addcmul_(v0, da.unsqueeze(-2))
    return torch.ops.aten.threshold_backward(dy, y, 0)


def _is_one_window(x: Tensor, window: Sequence[int], shifted: bool) -> bool:
    return not shifted and tuple(window) == tuple(x.shape[1:-1])


def _stretches(x: Tensor) -> list[slice]:
    step = max(1, CHUNK_NUMBERS.get(x.device.type, 2**19) // x.shape[-1])
    return [slice(start, start + step) for start in range(0, len(x), step)]


def _chunks(x: Tensor, window: Sequence[int], shifted: bool) -> Iterator[Chunk]:
    """Those of the regular grid, then those of the shifted one."""
    max_windows = max(1, CHUNK_NUMBERS.get(x.device.type, 2**19) // (prod(window) * x.shape[-1]))
    yield from chunks(x.shape[:-1], window, False, max_windows)
    if shifted:
        yield from chunks(x.shape[:-1], window, True, max_windows)


def _cut(chunk: Chunk, volume: Tensor, window: Sequence[int], dtype: torch.dtype) -> Tensor:
    """The windows of the chunk, `(windows, N, C)`, zero beyond the volume."""
    make = torch.empty if chunk.complete else torch.zeros
    matrices = make(len(chunk), *window, volume.shape[-1], dtype=dtype, device=volume.device)
    for voxels, places in chunk.views(volume, matrices):
        places.copy_(voxels)
    return matrices.flatten(1, -2)


def _join(chunk: Chunk, matrices: Tensor, volume: Tensor, window: Sequence[int]) -> None:
    """Writes the windows `(windows, N, C)` of the regular grid into the volume, and adds those of the shifted one."""
    for voxels, places in chunk.views(volume, matrices.unflatten(1, tuple(window))):
        if chunk.shifted:
            voxels.add_(places)
        else:
            voxels.copy_(places)


@_mix.register_fake
def _empty_results(
    x: Tensor, v0: Tensor, head_dim: int, window: Sequence[int], shifted: bool, num_iters: int
) -> tuple[Tensor, Tensor, Tensor]:
    dtype = torch.promote_types(x.dtype, torch.float32)
    number = (1 + shifted) * x.shape[0] * prod(ceil(s / p) for s, p in zip(x.shape[1:-1], window, strict=True))
    heads = x.shape[-1] // head_dim
    k = x.new_empty(number, heads, head_dim, head_dim, dtype=dtype)
    return torch.empty_like(x), k, x.new_empty(number, heads, head_dim, dtype=dtype)


@_mix_backward.register_fake
def _empty_gradient(grad: Tensor, x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, v0, _, ctx.window, ctx.shifted, ctx.num_iters = inputs
    ctx.save_for_backward(x, v0, *output[1:])


def _mix_vjp(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor, None, None, None, None, None]:
    dx = _mix_backward(grad.contiguous(), *ctx.saved_tensors, ctx.window, ctx.shifted, ctx.num_iters)
    return dx, None, None, None, None, None


def _refuse(ctx: Any, grad: Tensor) -> NoReturn:
    raise RuntimeError(
        "the rank-1 closed form has no second derivative. Set closed_form = False on the NMF layers of the network: "
        "their plain loop has one."
    )


_mix.register_autograd(_mix_vjp, setup_context=_keep)
_mix_backward.register_autograd(_refuse)
