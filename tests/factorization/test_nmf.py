"""The NMF layer against the reference numbers, against a plain formulation, and by its properties."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from nnunetv2_factorizer.factorization import NMF, factorize
from tests.conftest import LoadReference, relative_error

SOLVERS = ("hals", "mu")


def make_nmf(u0: Tensor, v0: Tensor, num_iters: int = 5, solver: str = "hals", closed_form: bool = True) -> NMF:
    nmf = NMF((u0.shape[0], v0.shape[0]), u0.shape[1], num_iters, solver)
    nmf.u0, nmf.v0 = u0, v0
    nmf.closed_form = closed_form and nmf.rank == 1
    return nmf


@pytest.mark.parametrize("closed_form", [True, False])
@pytest.mark.parametrize("num_iters", [1, 2, 5, 10])
@pytest.mark.parametrize("solver", SOLVERS)
def test_rank_one_agrees_with_the_reference(
    num_iters: int, closed_form: bool, solver: str, load_reference: LoadReference
) -> None:
    data = load_reference("nmf_rank1")
    x = data["x"].requires_grad_()
    y = make_nmf(data["u0"], data["v0"], num_iters, solver, closed_form)(x)
    y.backward(data["grad_out"])
    assert relative_error(y, data[f"y_T{num_iters}"]) < 1e-5
    assert torch.all(y[5] == 0)
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    if solver == "hals" or closed_form:  # Where the product is exact, the two solvers have one gradient, too.
        assert relative_error(x.grad[:5], data[f"grad_x_T{num_iters}"][:5]) < 1e-4


@pytest.mark.parametrize("rank", [2, 4])
@pytest.mark.parametrize("solver", SOLVERS)
def test_higher_rank_agrees_with_the_reference(rank: int, solver: str, load_reference: LoadReference) -> None:
    data = load_reference("nmf_rank_r")
    nmf = make_nmf(data[f"u0_R{rank}"], data[f"v0_R{rank}"], 5, solver)
    x = data["x"].requires_grad_()
    u, v = nmf.decompose(x)
    y = nmf(x)
    y.backward(data["grad_out"])
    assert relative_error(u, data[f"{solver}_u_R{rank}"]) < 1e-5
    assert relative_error(v, data[f"{solver}_v_R{rank}"]) < 1e-5
    assert relative_error(y, data[f"{solver}_y_R{rank}"]) < 1e-5
    assert x.grad is not None
    assert relative_error(x.grad, data[f"{solver}_grad_x_R{rank}"]) < 1e-4


@pytest.mark.parametrize(("rank", "solver"), [(1, "hals"), (2, "hals"), (3, "mu")])
def test_gradient_is_the_derivative(rank: int, solver: str) -> None:
    nmf = NMF((4, 7), rank, 3, solver).double()
    x = torch.rand(2, 4, 7, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(nmf, x)


def test_closed_form_is_the_plain_loop() -> None:
    nmf = NMF((8, 64), num_iters=4).double()
    x = torch.rand(2, 3, 8, 64, dtype=torch.float64).requires_grad_()
    grad = torch.randn_like(x)
    results = []
    for closed_form in (True, False):
        nmf.closed_form = closed_form
        y = nmf(x)
        results.append((y, *torch.autograd.grad(y, x, grad)))
    assert relative_error(results[0][0], results[1][0]) < 1e-12
    assert relative_error(results[0][1], results[1][1]) < 1e-10


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("solver", SOLVERS)
def test_all_zero_matrix_gives_zero_and_finite_gradients(rank: int, solver: str) -> None:
    nmf = NMF((6, 20), rank, 5, solver)
    for closed_form in {nmf.closed_form, False}:
        nmf.closed_form = closed_form
        x = torch.zeros(2, 6, 20, requires_grad=True)
        y = nmf(x)
        y.backward(torch.randn_like(y))
        assert torch.all(y == 0)
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()


@st.composite
def problems(draw: st.DrawFn, zeros: bool = True) -> tuple[Tensor, int, str]:
    """A matrix, with or without zeros in it, a rank and a solver."""
    rows, columns = draw(st.integers(2, 8)), draw(st.integers(2, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.rand(rows, columns, generator=generator, dtype=torch.float64)
    x = torch.relu(x - draw(st.sampled_from([0.3, 0.7]))) if zeros else x + 0.01
    return x, draw(st.integers(1, min(rows, columns, 4))), draw(st.sampled_from(SOLVERS))


@given(problems())
@settings(deadline=None, max_examples=60)
def test_objective_never_rises_and_factors_stay_non_negative(problem: tuple[Tensor, int, str]) -> None:
    x, rank, solver = problem
    u, v = torch.rand(x.shape[0], rank).double(), torch.rand(x.shape[1], rank).double()
    objective = torch.inf
    for _ in range(6):
        u, v = factorize(x, u, v, num_iters=1, solver=solver)
        assert (u >= 0).all()
        assert (v >= 0).all()
        now = torch.linalg.matrix_norm(x - u @ v.mT).item()
        assert now <= objective + 1e-9
        objective = now


# The two properties below hold to rounding. A component that cancels exactly has no direction but that of the rounding
# error, so that they are asked of matrices whose components do not die.
@given(problems(zeros=False), st.sampled_from([1e-6, 0.5, 1e4]))
@settings(deadline=None, max_examples=60)
def test_output_scales_with_the_input(problem: tuple[Tensor, int, str], scale: float) -> None:
    x, rank, solver = problem
    nmf = NMF((x.shape[0], x.shape[1]), rank, 4, solver).double()
    expected = nmf(x)
    if solver == "hals" and rank > 1:  # The first sweep subtracts what the other columns of u0 explain already.
        nmf.u0 *= scale
    torch.testing.assert_close(nmf(scale * x) / scale, expected, rtol=1e-5, atol=1e-8)


@given(problems(zeros=False), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_permuting_columns_permutes_the_output(problem: tuple[Tensor, int, str], random: object) -> None:
    x, rank, solver = problem
    order = list(range(x.shape[1]))
    random.shuffle(order)  # type: ignore[attr-defined]
    nmf = NMF((x.shape[0], x.shape[1]), rank, 4, solver).double()
    y = nmf(x)
    noisy = [x * (1 + 1e-12 * torch.randn_like(x)) for _ in range(10)]
    assume(all(relative_error(nmf(n), y) < 1e-8 for n in noisy))  # else rounding decides whether a component dies
    torch.testing.assert_close(nmf(x[:, order], nmf.v0[order]), y[:, order], rtol=1e-6, atol=1e-9)


def test_zero_columns_are_neutral() -> None:
    nmf = NMF((5, 12)).double()
    x = torch.rand(5, 12, dtype=torch.float64)
    x[:, 9:] = 0
    y = nmf(x)
    torch.testing.assert_close(y[:, :9], nmf(x[:, :9], nmf.v0[:9]))
    assert torch.all(y[:, 9:] == 0)


def test_forward_is_deterministic_and_leaves_the_random_state_alone() -> None:
    nmf = NMF((4, 6), rank=2)
    state = torch.get_rng_state()
    x = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(nmf(x), nmf(x))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_input_is_computed_in_float32(dtype: torch.dtype) -> None:
    nmf = NMF((8, 512))
    x = torch.rand(4, 8, 512) * 1e-3
    x[0] = 0
    with torch.autocast("cpu", dtype=dtype):
        y = nmf(x.to(dtype))
    assert y.dtype == dtype
    assert relative_error(y.float(), nmf(x.to(dtype).float())) < 1e-2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 9}, r"rank must be a whole number from 1 to 8 = min\(M, N\) .* got 9"),
        ({"rank": 0}, "rank .* got 0"),
        ({"rank": 1.5}, r"rank .* got 1\.5"),
        ({"num_iters": True}, "num_iters must be a whole number of at least 1, got True"),
        ({"num_iters": 0}, "num_iters must be a whole number of at least 1, got 0"),
        ({"solver": "als"}, "solver must be one of 'hals', 'mu', got 'als'"),
        ({"size": (0, 4)}, r"size must be two positive numbers \(M, N\), got \(0, 4\)"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NMF(**{"size": (8, 64)} | arguments)


@pytest.mark.parametrize(
    ("value", "message"), [(-0.5, "the first is -0.5"), (float("nan"), "the first is nan"), (float("inf"), "is inf")]
)
def test_public_function_refuses_wrong_values(value: float, message: str) -> None:
    x = torch.rand(2, 4, 6)
    x[1, 2, 3] = value
    with pytest.raises(ValueError, match=f"x must be finite and non-negative.*1 of its 48 entries.*{message}"):
        factorize(x, torch.rand(4, 1), torch.rand(6, 1))


@pytest.mark.parametrize(("u0", "v0", "name"), [((1, 2), (6, 2), "u0"), ((4, 2), (5, 2), "v0")])
def test_public_function_refuses_factors_of_another_shape(u0: tuple, v0: tuple, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must have the shape \(\d, 2\) for matrices of \(4, 6\)"):
        factorize(torch.rand(4, 6), torch.rand(u0), torch.rand(v0))


@pytest.mark.parametrize(("rank", "solver"), [(1, "hals"), (2, "hals"), (2, "mu")])
def test_compiled_gradient_is_in_float32_under_autocast(rank: int, solver: str) -> None:
    """nnU-Net compiles and trains in fp16; in half precision `X X^T` of such a window overflows."""
    nmf = NMF((8, 512), rank, 5, solver)
    x = (20 * torch.relu(torch.randn(3, 8, 512))).half().requires_grad_()
    grad = 1024 * torch.randn(3, 8, 512).half()
    gradients = []
    for layer in (nmf, torch.compile(nmf, fullgraph=True, backend="aot_eager")):
        with torch.autocast("cpu", dtype=torch.float16):
            y = layer(x)
        gradients.append(torch.autograd.grad(y, x, grad)[0])
    torch.compiler.reset()
    assert torch.isfinite(gradients[1]).all()
    assert relative_error(gradients[1], gradients[0]) < 1e-3
