"""The mixing layer as one operation: matricize, ReLU, rank-1 NMF, back to an image, average of the grids.

`mix` does what `matricize.inverse(nmf(relu(matricize(x))))` does for rank 1, a chunk of windows at a time: they are
copied out of the volume, factorized while they are in the cache, and written back. Nothing is rolled, padded or
stacked, and only the volume is kept for the backward pass. On a GPU, fused kernels do the same where they can. It is an
operator of `torch.library`, one node for `torch.compile` and `torch.export`; an exported program needs this package.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from math import prod
from typing import Any, NoReturn

import torch
from torch import Tensor

from nnunetv2_factorizer.factorization.kernels import mixing_trial
from nnunetv2_factorizer.factorization.matricize import check_channels
from nnunetv2_factorizer.factorization.precision import full_precision, without_autocast
from nnunetv2_factorizer.factorization.rank_one import gradient, gram, projection, scaled, start
from nnunetv2_factorizer.factorization.windows import WindowChunk, window_chunks
from nnunetv2_factorizer.factorization.working_set import WINDOW_NUMBERS, numbers_in_chunk, row_chunks

GROUP_CHANNELS = 32
"""Heads are multiplied together up to so many channels: with fewer the products are thin, with more mostly waste."""


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

    Raises:
        ValueError: `v0` does not have the shape of the window, or `head_dim` does not divide the channels.
    """
    check_channels(x, head_dim)
    if v0.shape != (prod(window), 1):
        raise ValueError(
            f"v0 must have the shape {(prod(window), 1)} for the window {tuple(window)}, got {tuple(v0.shape)}."
        )
    rows = x.movedim(1, -1).contiguous()
    return _mix(rows, v0.contiguous(), head_dim, list(window), shifted, num_iters).movedim(-1, 1)


def _mix_rows(x: Tensor, v0: Tensor, head_dim: int, window: list[int], shifted: bool, num_iters: int) -> Tensor:
    """On `(B, *S, C)`, contiguous or copied."""
    x = x.contiguous()
    out = torch.empty_like(x)
    v0 = v0.to(torch.promote_types(x.dtype, torch.float32))
    with without_autocast(x):
        if _is_one_window(x, window, shifted):
            for item, out_item in zip(x, out, strict=True):
                _mix_one_window(item.flatten(0, -2), v0, head_dim, num_iters, out_item.flatten(0, -2))
            return out
        for chunk in _chunks(x, window, shifted):
            y = _cut(chunk, x, window, head_dim).relu_()
            a, size = scaled(start(y, v0, head_dim))
            p = projection(gram(y.div_(size), head_dim), a, num_iters)
            _join(chunk, y @ p.mul_(size / (1 + shifted)), out, window)
    return out


def _mix_rows_backward(
    grad: Tensor, x: Tensor, v0: Tensor, head_dim: int, window: list[int], shifted: bool, num_iters: int
) -> Tensor:
    """The gradient with respect to `x` `(B, *S, C)`, both contiguous or copied."""
    grad, x = grad.contiguous(), x.contiguous()
    dx = torch.empty_like(x)
    v0 = v0.to(torch.promote_types(x.dtype, torch.float32))
    with without_autocast(x):
        if _is_one_window(x, window, shifted):
            for item in zip(grad, x, dx, strict=True):
                grad_item, x_item, dx_item = (volume.flatten(0, -2) for volume in item)
                _mix_one_window_backward(grad_item, x_item, v0, head_dim, num_iters, dx_item)
            return dx
        for chunk in _chunks(x, window, shifted):
            y = _cut(chunk, x, window, head_dim).relu_()
            a, size = scaled(start(y, v0, head_dim))
            y.div_(size)
            g = _cut(chunk, grad, window, head_dim).div_(1 + shifted)
            parts = gradient(y.mT @ g, gram(y, head_dim), a, num_iters)
            _join(chunk, _input_gradient(g, y, v0, *parts), dx, window)
    return dx


PLAIN = mixing_trial.Plain(_mix_rows, _mix_rows_backward)

_mix = torch.library.custom_op("nnunetv2_factorizer::mix", _mix_rows, mutates_args=())
_mix_backward = torch.library.custom_op("nnunetv2_factorizer::mix_backward", _mix_rows_backward, mutates_args=())

CHUNKS_ALIVE = {torch.ops.nnunetv2_factorizer.mix.default: 2, torch.ops.nnunetv2_factorizer.mix_backward.default: 5}
"""Copies of the windows that an operator has at its worst moment where no fused kernel does its work."""


def workspace_bytes(operator: Any, volume: Tensor, device_type: str) -> int:
    """Bytes that an operator of `CHUNKS_ALIVE` needs besides its result, for a volume `(B, *S, C)` on a device."""
    chunk = min(numbers_in_chunk(WINDOW_NUMBERS, device_type), volume.numel())
    return 4 * chunk * CHUNKS_ALIVE[operator]


@_mix.register_kernel("cuda")
def _mix_cuda(x: Tensor, v0: Tensor, head_dim: int, window: list[int], shifted: bool, num_iters: int) -> Tensor:
    if not mixing_trial.usable(x, head_dim, window, shifted, num_iters, PLAIN):
        return _mix_rows(x, v0, head_dim, window, shifted, num_iters)
    from nnunetv2_factorizer.factorization.kernels.windows import mix_windows

    return mix_windows(x.contiguous(), v0, head_dim, window, shifted, num_iters)


@_mix_backward.register_kernel("cuda")
def _mix_backward_cuda(
    grad: Tensor, x: Tensor, v0: Tensor, head_dim: int, window: list[int], shifted: bool, num_iters: int
) -> Tensor:
    if not mixing_trial.usable(x, head_dim, window, shifted, num_iters, PLAIN):
        return _mix_rows_backward(grad, x, v0, head_dim, window, shifted, num_iters)
    from nnunetv2_factorizer.factorization.kernels.windows import mix_windows_backward

    return mix_windows_backward(grad.contiguous(), x.contiguous(), v0, head_dim, window, shifted, num_iters)


def _mix_one_window(x: Tensor, v0: Tensor, head_dim: int, num_iters: int, out: Tensor) -> None:
    """One matrix a head over a whole image `(N, C)`: `K` and `a` are the sums of those of chunks of voxels."""
    a, size = _start_of_image(x, v0, head_dim)
    chunks = row_chunks(x, WINDOW_NUMBERS)
    k = _sum(gram(full_precision(x[s]).relu().div_(size), head_dim) for s in chunks)
    p = projection(k, a, num_iters)
    for s in chunks:
        out[s] = full_precision(x[s]).relu() @ p


def _mix_one_window_backward(grad: Tensor, x: Tensor, v0: Tensor, head_dim: int, num_iters: int, dx: Tensor) -> None:
    a, size = _start_of_image(x, v0, head_dim)
    chunks = row_chunks(x, WINDOW_NUMBERS)

    def matrix(s: slice) -> Tensor:
        return full_precision(x[s]).relu().div_(size)

    k = _sum(gram(matrix(s), head_dim) for s in chunks)
    cross = _sum(matrix(s).mT @ full_precision(grad[s]) for s in chunks)
    parts = gradient(cross, k, a, num_iters)
    for s in chunks:
        dx[s] = _input_gradient(full_precision(grad[s]), matrix(s), v0[s], *parts)


def _start_of_image(x: Tensor, v0: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """`a` divided by the size of the heads, and that size `(1, C)`."""
    return scaled(_sum(start(full_precision(x[s]).relu(), v0[s], head_dim) for s in row_chunks(x, WINDOW_NUMBERS)))


def _sum(tensors: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, tensors)


def _input_gradient(grad: Tensor, y: Tensor, v0: Tensor, p: Tensor, d: Tensor, da: Tensor) -> Tensor:
    """`G P + Y D + v0 da^T` where the ReLU let `y` through, 0 elsewhere."""
    dy = (grad @ p).add_(y @ d).addcmul_(v0, da.unsqueeze(-2))
    return torch.ops.aten.threshold_backward(dy, y, 0)


def _is_one_window(x: Tensor, window: Sequence[int], shifted: bool) -> bool:
    return not shifted and tuple(window) == tuple(x.shape[1:-1])


def _chunks(x: Tensor, window: Sequence[int], shifted: bool) -> Iterator[WindowChunk]:
    """Those of the regular grid, then those of the shifted one."""
    per_window = max(prod(window), GROUP_CHANNELS) * x.shape[-1]  # the matrix, or its products
    max_windows = max(1, numbers_in_chunk(WINDOW_NUMBERS, x.device.type) // per_window)
    yield from window_chunks(x.shape[:-1], window, False, max_windows)
    if shifted:
        yield from window_chunks(x.shape[:-1], window, True, max_windows)


def _cut(chunk: WindowChunk, volume: Tensor, window: Sequence[int], head_dim: int) -> Tensor:
    """The windows of the chunk, `(windows, groups, N, C / groups)` in full precision, zero beyond the volume."""
    group = _group(volume.shape[-1], head_dim)
    make = torch.empty if chunk.complete else torch.zeros
    dtype = torch.promote_types(volume.dtype, torch.float32)
    matrices = make(len(chunk), volume.shape[-1] // group, *window, group, dtype=dtype, device=volume.device)
    for voxels, places in chunk.views(volume.unflatten(-1, (-1, group)), matrices.movedim(1, -2)):
        places.copy_(voxels)
    return matrices.flatten(2, -2)


def _join(chunk: WindowChunk, matrices: Tensor, volume: Tensor, window: Sequence[int]) -> None:
    """Writes windows as `_cut` gives them into the volume, and adds those of the shifted grid."""
    volume = volume.unflatten(-1, (-1, matrices.shape[-1]))
    for voxels, places in chunk.views(volume, matrices.unflatten(2, tuple(window)).movedim(1, -2)):
        if chunk.shifted:
            voxels.add_(places)
        else:
            voxels.copy_(places)


def _group(channels: int, head_dim: int) -> int:
    """Channels that are multiplied at once: whole heads, up to `GROUP_CHANNELS` or one head."""
    heads = channels // head_dim
    most = max(1, GROUP_CHANNELS // head_dim)
    return head_dim * max(number for number in range(1, most + 1) if heads % number == 0)


@_mix.register_fake
def _mix_fake(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@_mix_backward.register_fake
def _mix_backward_fake(grad: Tensor, x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, v0, *ctx.settings = inputs
    ctx.save_for_backward(x, v0)


def _vjp(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
    return _mix_backward(grad, *ctx.saved_tensors, *ctx.settings), None, None, None, None, None


def _refuse(ctx: Any, grad: Tensor) -> NoReturn:
    raise RuntimeError(
        "the rank-1 closed form has no second derivative. Set closed_form = False on the NMF layers of the network: "
        "their plain loop has one."
    )


_mix.register_autograd(_vjp, setup_context=_keep)
_mix_backward.register_autograd(_refuse)
