"""Differentiable non-negative matrix factorization (Ashtari et al., Medical Image Analysis 84, 2023)."""

import torch
from torch import Tensor, nn

from nnunetv2_factorizer.factorization.checks import check_count
from nnunetv2_factorizer.factorization.matmul import matmul
from nnunetv2_factorizer.factorization.precision import full_precision, without_autocast
from nnunetv2_factorizer.factorization.rank_one import rank_one
from nnunetv2_factorizer.factorization.solvers import SOLVERS


def factorize(x: Tensor, u0: Tensor, v0: Tensor, *, num_iters: int = 5, solver: str = "hals") -> tuple[Tensor, Tensor]:
    """Factorize `x ~ u v^T` from the given initial factors, after checking the values of `x`.

    The check reads `x` back from the device, which is why the layer `NMF` does without it.

    Args:
        x: `(..., M, N)`, finite and non-negative.
        u0: `(M, R)`, initial factor of the rows.
        v0: `(N, R)`, initial factor of the columns.
        num_iters: iterations, at least 1.
        solver: `"hals"` or `"mu"`.

    Returns:
        `u` of shape `(..., M, R)` and `v` of shape `(..., N, R)`, both non-negative.

    Raises:
        ValueError: `x` has a negative, infinite or NaN entry, or an argument is out of range.
    """
    size, rank = tuple(x.shape[-2:]), u0.shape[-1]
    _check_settings(size, rank, num_iters, solver)
    for name, factor, length in (("u0", u0, size[0]), ("v0", v0, size[1])):
        if factor.shape != (length, rank):
            raise ValueError(
                f"{name} must have the shape {(length, rank)} for matrices of {size} and rank {rank}, "
                f"got {tuple(factor.shape)}."
            )
    wrong = x[~(torch.isfinite(x) & (x >= 0))]
    if len(wrong):
        raise ValueError(
            f"x must be finite and non-negative, for example relu(x); {len(wrong)} of its {x.numel()} entries are not, "
            f"the first is {wrong[0].item():g}."
        )
    with without_autocast(x):
        x = full_precision(x)
        return SOLVERS[solver](x, u0.to(x.dtype), v0.to(x.dtype), num_iters)


class NMF(nn.Module):
    """Replaces each matrix by its rank-R non-negative approximation `F G^T`.

    The initial factors are drawn once, uniformly from (0, 1), and kept as buffers: the layer is deterministic.
    Computation is in float32 (or float64, if the input is), also under autocast: in half precision the squares of
    small activations vanish and an all-zero window turns into NaN.

    Args:
        size: `(M, N)`, rows and columns of one matrix.
        rank: R, at most `min(M, N)`.
        num_iters: T, iterations of the solver.
        solver: `"hals"` (hierarchical alternating least squares) or `"mu"` (multiplicative update). Rank 1 is
            computed in closed form, to which both converge step by step; set `closed_form = False` for the loop.

    Raises:
        ValueError: an argument is out of range; the message names it, its value and what is accepted.
    """

    u0: Tensor
    v0: Tensor

    def __init__(self, size: tuple[int, int], rank: int = 1, num_iters: int = 5, solver: str = "hals") -> None:
        super().__init__()
        _check_settings(size, rank, num_iters, solver)
        self.size = tuple(size)
        self.rank = rank
        self.num_iters = num_iters
        self.solver = solver
        self.closed_form = rank == 1
        self.register_buffer("u0", torch.rand(size[0], rank))
        self.register_buffer("v0", torch.rand(size[1], rank))

    def decompose(self, x: Tensor, v0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The factors of `x` `(..., M, N)`: `u` `(..., M, R)` and `v` `(..., N, R)`.

        `v0` `(N, R)` stands in for the buffer where a window is smaller than the one the layer was made for.
        """
        with without_autocast(x):
            x = full_precision(x)
            v0 = self.v0 if v0 is None else v0
            return SOLVERS[self.solver](x, self.u0.to(x.dtype), v0.to(x.dtype), self.num_iters)

    def reconstruct(self, u: Tensor, v: Tensor) -> Tensor:
        """The product `u v^T` `(..., M, N)`."""
        return matmul(u, v.mT)

    def forward(self, x: Tensor, v0: Tensor | None = None) -> Tensor:
        """The rank-R approximation of `x` `(..., M, N)`, in the data type of `x`. See `decompose` for `v0`."""
        with without_autocast(x):
            if not self.closed_form:
                return self.reconstruct(*self.decompose(x, v0)).to(x.dtype)
            full = full_precision(x)
            v0 = self.v0 if v0 is None else v0
            return rank_one(full, v0.to(full.dtype), self.num_iters).to(x.dtype)

    def extra_repr(self) -> str:
        return f"size={self.size}, rank={self.rank}, num_iters={self.num_iters}, solver={self.solver!r}"


def _check_settings(size: tuple[int, ...], rank: int, num_iters: int, solver: str) -> None:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be two positive numbers (M, N), got {size}.")
    check_count("rank", rank, min(size), f" = min(M, N) for matrices of {size}")
    check_count("num_iters", num_iters)
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(map(repr, SOLVERS))}, got {solver!r}.")
