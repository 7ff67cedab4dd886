"""Rank 1 in closed form: two passes over the matrix, whatever the number of iterations.

On a non-negative `X` the clamp of HALS never acts, so that with one column both solvers are a power iteration: from
`a = X v0`, `T` iterations arrive at `u` of the direction of `K^(T-1) a`, where `K = X X^T` is only `M x M`, and the
output is `u (u^T X)`. For the backward pass `X` and a few `M x M` numbers are kept.
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
    output: Tensor = _RankOne.apply(x, v0, num_iters)
    return output


class _RankOne(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, v0: Tensor, num_iters: int) -> Tensor:
        k = x @ x.mT
        directions, norms = _power_iteration(k, x @ v0, num_iters)
        u = directions[-1]
        ctx.save_for_backward(x, v0, k, torch.cat(directions, dim=-1), torch.cat(norms, dim=-1))
        # The order of the products keeps the memory layout (N, M) of a matrix cut from a channels-last volume.
        return ((x.mT @ u) @ u.mT).mT

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        # torch.compile would trace this under the autocast of the forward pass, in which K overflows.
        with without_autocast(grad):
            return _gradient(grad, *ctx.saved_tensors), None, None


def _gradient(grad: Tensor, x: Tensor, v0: Tensor, k: Tensor, directions: Tensor, norms: Tensor) -> Tensor:
    """`dX = u q + (dK + dK^T) X + da v0^T`, stepping back through the power iteration for `dK` and `da`."""
    u = directions[..., -1:]
    s_t = x.mT @ u
    q_t = grad.mT @ u
    du = grad @ s_t + x @ q_t
    dk = torch.zeros_like(k)
    for step in range(directions.shape[-1] - 1, 0, -1):
        dw = _normalise_backward(du, directions[..., step, None], norms[..., step, None])
        dk = dk + dw @ directions[..., step - 1, None].mT
        du = k @ dw
    da = _normalise_backward(du, directions[..., :1], norms[..., :1])
    outer = torch.cat([q_t, v0.expand_as(q_t)], dim=-1) @ torch.cat([u, da], dim=-1).mT
    return (outer + x.mT @ (dk + dk.mT)).mT


def _power_iteration(k: Tensor, a: Tensor, num_iters: int) -> tuple[list[Tensor], list[Tensor]]:
    """Directions `u_t` `(..., M, 1)` of `a, K u_1, K u_2, ...`, and the lengths `(..., 1, 1)` that they had before."""
    directions: list[Tensor] = []
    norms: list[Tensor] = []
    for _ in range(num_iters):
        norms.append(torch.linalg.vector_norm(a, dim=-2, keepdim=True).clamp_min(EPS))
        directions.append(a / norms[-1])
        a = k @ directions[-1]
    return directions, norms


def _normalise_backward(du: Tensor, u: Tensor, norm: Tensor) -> Tensor:
    """The gradient with respect to `w` where `u = w / ||w||`."""
    return (du - u * (u * du).sum(-2, keepdim=True)) / norm
