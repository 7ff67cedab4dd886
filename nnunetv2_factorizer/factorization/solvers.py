"""The two iterative solvers of the non-negative matrix factorization `X ~ F G^T`.

Shapes: `x` is `(..., M, N)`, `u` (the paper's F) is `(..., M, R)`, `v` (its G) is `(..., N, R)`.
Every leading dimension is a batch dimension, and everything here is differentiable.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from nnunetv2_factorizer.factorization.matmul import matmul

Solver = Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]


def hals(x: Tensor, u: Tensor, v: Tensor, num_iters: int) -> tuple[Tensor, Tensor]:
    """Factors after `num_iters` sweeps of hierarchical alternating least squares (Cichocki and Phan, 2009)."""
    for _ in range(num_iters):
        u = _hals_sweep(x, u, v)
        v = _hals_sweep(x.mT, v, u)
    return u, v


def _hals_sweep(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """One pass over the columns: `f_r <- max(0, (X g_r - sum_{l != r} f_l (G^T G)_{lr}) / ||g_r||^2)`.

    Where `g_r` has died (is all zero), `f_r` is set to ones, as in the original implementation: the product is the
    same, and the component comes back with the next update of `g_r`.
    """
    a = matmul(x, v)
    b = matmul(v.mT, v)
    columns = list(u.expand(*a.shape).unbind(-1))
    for r in range(len(columns)):
        numerator = a[..., r]
        for l, f in enumerate(columns):
            if l != r:
                numerator = numerator - f * b[..., l, r, None]
        if len(columns) > 1:  # With one column the clamp never acts, and its gradient at 0 would be wrong.
            numerator = torch.relu(numerator)
        norm2 = b[..., r, r, None]
        columns[r] = torch.where(norm2 > 0, _divide(numerator, norm2), 1.0)
    return torch.stack(columns, dim=-1)


def multiplicative_update(x: Tensor, u: Tensor, v: Tensor, num_iters: int) -> tuple[Tensor, Tensor]:
    """Factors after `num_iters` multiplicative updates (Lee and Seung, 2001): `F <- F * (X G) / (F G^T G)`, then G."""
    for _ in range(num_iters):
        u = _divide(u * matmul(x, v), matmul(u, matmul(v.mT, v)))
        v = _divide(v * matmul(x.mT, u), matmul(v, matmul(u.mT, u)))
    return u, v


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient; where the denominator is 0 the numerator is, too, and so is the result."""
    return numerator / torch.where(denominator > 0, denominator, 1.0)


SOLVERS: dict[str, Solver] = {"hals": hals, "mu": multiplicative_update}
