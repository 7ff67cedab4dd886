"""The row factor alone: `X ~ F G^T` with `G` given, which is a convex problem for each row of `X`."""

from collections.abc import Callable

import torch
from torch import Tensor

from nnunetv2_factorizer.factorization.checks import check_count
from nnunetv2_factorizer.factorization.precision import full_precision, without_autocast
from nnunetv2_factorizer.factorization.threads import one_thread

CHUNK_ROWS = 8192
"""Rows that are solved together, whatever the image; with fewer the calls cost more than the arithmetic."""

GROUP = 8
"""Components that are updated between two products of matrices."""

CHECK_EVERY = 5  # sweeps; the objective costs about as much as one


@torch.no_grad()
def solve_rows(x: Tensor, v: Tensor, *, solver: str = "hals", tolerance: float = 1e-5, max_sweeps: int = 200) -> Tensor:
    """The `u >= 0` that makes `||x - u v^T||` smallest; the sweeps of the NMF for `u` alone, without gradient.

    `x v` and `v^T v` are computed once; a sweep does not touch `x`. A component whose column of `v` is zero gets a
    zero column of `u`.

    Args:
        x: `(M, N)`, finite and non-negative.
        v: `(N, R)`, finite and non-negative.
        solver: `"hals"` or `"mu"`.
        tolerance: sweeps end when one reduces the squared error by less than this share of it.
        max_sweeps: sweeps end at the latest.

    Returns:
        `u` of shape `(M, R)`, in float32, or float64 if `x` is; computed in float64 (not on Apple's GPUs).

    Raises:
        ValueError: the shapes do not fit, or an entry is negative, infinite or NaN, or an argument is out of range.
    """
    check_count("max_sweeps", max_sweeps)
    if solver not in SWEEPS:
        raise ValueError(f"solver must be one of {', '.join(map(repr, SWEEPS))}, got {solver!r}.")
    if x.ndim != 2 or v.ndim != 2 or x.shape[1] != v.shape[0]:
        raise ValueError(f"x and v must be (M, N) and (N, R), got {tuple(x.shape)} and {tuple(v.shape)}.")
    for name, matrix in (("x", x), ("v", v)):
        if not (torch.isfinite(matrix) & (matrix >= 0)).all():
            raise ValueError(f"{name} must be finite and non-negative, for example relu({name}).")
    with without_autocast(x), one_thread():
        x = full_precision(x)
        # How products of matrices are rounded depends on where they lie in memory, and when the sweeps end on how they
        # are rounded; in float64 that is too little to change a result in float32.
        v = v.to(x.device, torch.float32 if x.device.type == "mps" else torch.float64)
        # Rows of x are columns from here on: a component is a contiguous row of numbers.
        chunks = [_solve_chunk(c.to(v), v, SWEEPS[solver], tolerance, max_sweeps) for c in x.split(CHUNK_ROWS)]
        return torch.cat(chunks, dim=1).mT.to(x)


def _solve_chunk(
    x: Tensor, v: Tensor, sweep: Callable[[Tensor, Tensor, Tensor], None], tolerance: float, max_sweeps: int
) -> Tensor:
    """`u^T` `(R, M)` for `x` `(M, N)`."""
    a, b = v.mT @ x.mT, v.mT @ v
    total = x.square().sum()
    # The best multiple of the matrix of ones: multiplicative updates need positive numbers, HALS takes any.
    u = torch.ones_like(a) * (a.sum() / (b.sum() * a.shape[1])).nan_to_num()
    u *= (b.diagonal() > 0)[:, None]
    error = torch.inf
    for number in range(1, max_sweeps + 1):
        sweep(u, a, b)
        if number % CHECK_EVERY == 0:
            before, error = error, (total - 2 * torch.vdot(a.flatten(), u.flatten()) + (u * (b @ u)).sum()).item()
            if before - error <= CHECK_EVERY * tolerance * error:
                break
    return u


def _hals(u: Tensor, a: Tensor, b: Tensor) -> None:
    """`f_r <- max(0, (X g_r - sum_{l != r} f_l (G^T G)_{lr}) / ||g_r||^2)`, one component after another, in place.

    What the other components explain is computed for a group at a time, in one product, and corrected within it.
    """
    for start in range(0, len(u), GROUP):
        group = slice(start, start + GROUP)
        missing = torch.addmm(a[group], b[group], u, alpha=-1)
        for r, norm2 in enumerate(b.diagonal()[group].tolist(), start):
            if norm2 > 0:
                before = u[r].clone()
                u[r].add_(missing[r - start], alpha=1 / norm2).relu_()
                missing.addr_(b[group, r], before.sub_(u[r]))


def _multiplicative_update(u: Tensor, a: Tensor, b: Tensor) -> None:
    """`F <- F * (X G) / (F G^T G)`, in place."""
    denominator = b @ u
    u.mul_(a).div_(torch.where(denominator > 0, denominator, 1.0))


SWEEPS: dict[str, Callable[[Tensor, Tensor, Tensor], None]] = {"hals": _hals, "mu": _multiplicative_update}
