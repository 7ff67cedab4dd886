"""Rank 1 in closed form: two passes over the matrix, whatever the number of iterations.

On a non-negative `X` the clamp of HALS never acts, so that with one column both solvers are a power iteration: from
`a = X v0`, `T` iterations arrive at `u` of the direction of `K^(T-1) a`, where `K = X X^T` is only `E x E`, and the
output is `u (u^T X)`. For the backward pass `X` alone is kept.

The functions here work on several heads at once: `y` `(..., N, C)` holds `X^T` of `H = C / E` heads side by side, which
is how a channels-last volume lies in memory. One product over the `C` channels of a few heads, of which only the blocks
of each head are used, is faster than many thin ones: `K` and `u u^T` become block-diagonal `C x C` matrices.

`K` holds squares, and float32 has no room for those of numbers below 1e-19 or above 1e18. `u` does not change if `X` is
divided by a number, nor does the gradient: so each head is divided by one of about its own size, a power of two, which
rounds nothing.
"""

from typing import Any

import torch
from torch import Tensor

from nnunetv2_factorizer.factorization.precision import without_autocast

EPS = 1e-30
"""Keeps 0 / 0 out of the direction of an all-zero matrix."""


def rank_one(x: Tensor, v0: Tensor, num_iters: int) -> Tensor:
    """The rank-1 approximation `u (u^T X)` that `num_iters` HALS or multiplicative updates from `v0` arrive at.

    Args:
        x: `(..., M, N)`, non-negative.
        v0: `(N, 1)`, positive; it gets no gradient.
        num_iters: T, at least 1.

    Returns:
        `(..., M, N)`; zero where `x` is an all-zero matrix.
    """
    output: Tensor = _RankOne.apply(x.mT, v0, num_iters)
    return output.mT


def start(y: Tensor, v0: Tensor, head_dim: int) -> Tensor:
    """`a = X v0` `(..., H, E)` of each head of `y` `(..., N, C)`."""
    return (v0.mT @ y).squeeze(-2).unflatten(-1, (-1, head_dim))


def scaled(a: Tensor) -> tuple[Tensor, Tensor]:
    """`a` `(..., H, E)` divided by the size of its heads, and that size for each channel, `(..., 1, C)`.

    The size is a power of two near the largest entry of the head, and 1 where a head is all zero.
    """
    largest = a.amax(-1, keepdim=True)
    size = torch.ldexp(torch.ones_like(largest), torch.frexp(largest).exponent)
    return a / size, size.expand_as(a).flatten(-2).unsqueeze(-2)


def gram(y: Tensor, head_dim: int) -> Tensor:
    """`K = X X^T` `(..., H, E, E)` of each head of `y` `(..., N, C)`."""
    return _head_blocks(y.mT @ y, head_dim)


def projection(k: Tensor, a: Tensor, num_iters: int) -> Tensor:
    """`u u^T` of every head as one block-diagonal matrix `(..., C, C)`: the output is `X^T` times this."""
    u = _power_iteration(k, a, num_iters)[0][-1]
    return _block_diagonal(u.unsqueeze(-1) * u.unsqueeze(-2))


def gradient(cross: Tensor, k: Tensor, a: Tensor, num_iters: int) -> tuple[Tensor, Tensor, Tensor]:
    """What makes `dY` of the gradient `G` of the output: `dY = G P + Y D + v0 da^T`.

    With `s = u^T X` and `q = u^T G` the gradient of `u` is `G s^T + X q^T = (Y^T G + G^T Y) u`; then back through the
    power iteration for `dK` and `da`; `D = dK + dK^T`.

    Args:
        cross: `Y^T G`, `(..., C, C)`.
        k: `K`, `(..., H, E, E)`.
        a: `(..., H, E)`.
        num_iters: T.

    Returns:
        `P` and `D`, block-diagonal `(..., C, C)`, and `da` `(..., C)`.
    """
    directions, norms = _power_iteration(k, a, num_iters)
    u = directions[-1]
    blocks = _head_blocks(cross, k.shape[-1])
    du = _apply(blocks + blocks.mT, u)
    dk = torch.zeros_like(k)
    for step in range(num_iters - 1, 0, -1):
        dw = _normalise_backward(du, directions[step], norms[step])
        dk = dk + dw.unsqueeze(-1) * directions[step - 1].unsqueeze(-2)
        du = _apply(k, dw)
    da = _normalise_backward(du, directions[0], norms[0])
    p = _block_diagonal(u.unsqueeze(-1) * u.unsqueeze(-2))
    return p, _block_diagonal(dk + dk.mT), da.flatten(-2)


class _RankOne(torch.autograd.Function):
    """On `y = X^T` `(..., N, M)`: one head a matrix."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, v0: Tensor, num_iters: int) -> Tensor:
        ctx.num_iters = num_iters
        ctx.save_for_backward(y, v0)
        a, size = scaled(start(y, v0, y.shape[-1]))
        return y @ projection(gram(y / size, y.shape[-1]), a, num_iters)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        # torch.compile would trace this under the autocast of the forward pass, in which K overflows.
        with without_autocast(grad):
            y, v0 = ctx.saved_tensors
            a, size = scaled(start(y, v0, y.shape[-1]))
            y = y / size
            p, d, da = gradient(y.mT @ grad, gram(y, y.shape[-1]), a, ctx.num_iters)
            return grad @ p + y @ d + v0 * da.unsqueeze(-2), None, None


def _power_iteration(k: Tensor, a: Tensor, num_iters: int) -> tuple[list[Tensor], list[Tensor]]:
    """Directions `u_t` `(..., E)` of `a, K u_1, K u_2, ...`, and the lengths `(..., 1)` that they had before."""
    directions: list[Tensor] = []
    norms: list[Tensor] = []
    for step in range(num_iters):
        if step:
            a = _apply(k, directions[-1])
        norms.append(torch.linalg.vector_norm(a, dim=-1, keepdim=True).clamp_min(EPS))
        directions.append(a / norms[-1])
    return directions, norms


def _normalise_backward(du: Tensor, u: Tensor, norm: Tensor) -> Tensor:
    """The gradient with respect to `w` where `u = w / ||w||`."""
    return (du - u * (u * du).sum(-1, keepdim=True)) / norm


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """Tiny products `(..., E, E)` times `(..., E)`, for which a sum is faster than a call to BLAS."""
    return (matrix * vector.unsqueeze(-2)).sum(-1)


def _head_blocks(product: Tensor, head_dim: int) -> Tensor:
    """The blocks `(..., H, E, E)` on the diagonal of `(..., C, C)`."""
    heads = (product.shape[-1] // head_dim, head_dim)
    return product.unflatten(-2, heads).unflatten(-1, heads).diagonal(dim1=-4, dim2=-2).movedim(-1, -3)


def _block_diagonal(blocks: Tensor) -> Tensor:
    """The matrix `(..., C, C)` that has the blocks `(..., H, E, E)` on its diagonal and is zero elsewhere."""
    return torch.diag_embed(blocks.movedim(-3, -1), dim1=-4, dim2=-2).flatten(-2).flatten(-3, -2)
