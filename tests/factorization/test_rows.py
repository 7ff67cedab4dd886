"""The row factor alone: the optimum, scikit-learn's numbers, and what cannot be solved."""

import pytest
import torch
from sklearn.decomposition import non_negative_factorization
from torch import Tensor

from nnunetv2_factorizer.factorization import rows
from nnunetv2_factorizer.factorization.rows import solve_rows


def problem(m: int = 300, n: int = 24, r: int = 10, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Features that few of the overlapping components make, and noise."""
    v = torch.rand(n, r, dtype=dtype) + 0.3
    u = torch.rand(m, r, dtype=dtype) * (torch.rand(m, r) < 0.3)
    return u @ v.T + 0.1 * torch.rand(m, n, dtype=dtype), v


def error(x: Tensor, u: Tensor, v: Tensor) -> float:
    return (x.double() - u.double() @ v.double().T).square().sum().item()


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
@pytest.mark.parametrize("size", [(300, 24, 10), (200, 48, 32), (5, 8, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_as_good_as_scikit_learn(size: tuple[int, int, int], dtype: torch.dtype) -> None:
    x, v = problem(*size, dtype=dtype)
    w, _, _ = non_negative_factorization(
        x.numpy(), H=v.T.numpy(), n_components=size[2], update_H=False, solver="cd", max_iter=200
    )
    u = solve_rows(x, v)
    assert u.dtype == dtype
    assert error(x, u, v) <= (1 + 1e-3) * error(x, torch.from_numpy(w), v)


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_multiplicative_updates_are_as_good_as_scikit_learns() -> None:
    x, v = problem()
    w, _, _ = non_negative_factorization(
        x.numpy(), H=v.T.numpy(), n_components=10, update_H=False, solver="mu", max_iter=200
    )
    assert error(x, solve_rows(x, v, solver="mu"), v) <= (1 + 1e-3) * error(x, torch.from_numpy(w), v)


@pytest.mark.parametrize("solver", ["hals", "mu"])
def test_optimality(solver: str) -> None:
    """The gradient vanishes where `u` is positive, and points inwards where it is 0."""
    x, v = problem(50, 24, 4)
    u = solve_rows(x, v, solver=solver, tolerance=0, max_sweeps=20_000)
    gradient = (u @ v.T - x) @ v
    assert (u >= 0).all()
    assert (gradient > -1e-3).all()
    assert gradient[u > 1e-2].abs().max() < 1e-3
    assert (u < 1e-6).any()


def test_independent_components_are_recovered() -> None:
    u = torch.rand(40, 5)
    torch.testing.assert_close(solve_rows(u @ torch.eye(5, 7), torch.eye(7, 5)), u)


def test_groups_change_no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    x, v = problem()
    expected = solve_rows(x, v, max_sweeps=7)
    for group in (1, 3, 10):
        monkeypatch.setattr(rows, "GROUP", group)
        torch.testing.assert_close(solve_rows(x, v, max_sweeps=7), expected)


def test_chunks_do_not_change_the_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    x, v = problem(r=3)
    expected = solve_rows(x, v, tolerance=0)
    monkeypatch.setattr(rows, "CHUNK_ROWS", 64)
    torch.testing.assert_close(solve_rows(x, v, tolerance=0), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("solver", ["hals", "mu"])
def test_what_is_zero_stays_zero(solver: str) -> None:
    x, v = problem()
    x[7], v[:, 2] = 0, 0
    u = solve_rows(x, v, solver=solver)
    assert torch.isfinite(u).all()
    assert (u[:, 2] == 0).all()
    assert u[7].max() < 1e-6
    assert (solve_rows(x * 0, v, solver=solver) == 0).all()
    assert (solve_rows(x, v * 0, solver=solver) == 0).all()


def test_under_autocast_it_is_computed_in_full_precision() -> None:
    x, v = problem(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        u = solve_rows(x, v)
    assert torch.equal(u, solve_rows(x, v))


def test_what_cannot_be_solved() -> None:
    x, v = problem()
    for wrong in (float("nan"), float("inf"), -1.0):
        with pytest.raises(ValueError, match=r"^x must be finite and non-negative, for example relu\(x\)"):
            solve_rows(x.clone().fill_(wrong), v)
        with pytest.raises(ValueError, match=r"^v must be finite"):
            solve_rows(x, v.clone().fill_(wrong))
    with pytest.raises(ValueError, match=r"must be \(M, N\) and \(N, R\), got \(300, 24\) and \(10, 24\)"):
        solve_rows(x, v.T)
    with pytest.raises(ValueError, match="solver must be one of 'hals', 'mu', got 'als'"):
        solve_rows(x, v, solver="als")
    with pytest.raises(ValueError, match="max_sweeps must be a whole number of at least 1, got 0"):
        solve_rows(x, v, max_sweeps=0)
