"""The mixing layer as one operation against the layers that it replaces, for every kind of grid and memory format."""

from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nnunetv2_factorizer.factorization import (
    NMF,
    GlobalMatricize,
    LocalMatricize,
    ShiftedWindowMatricize,
    mix,
    working_set,
)
from tests.conftest import relative_error

KINDS = {"global": GlobalMatricize, "local": LocalMatricize, "swin": ShiftedWindowMatricize}


def plain(x: Tensor, kind: str, window: tuple[int, ...], v0: Tensor, head_dim: int, num_iters: int = 5) -> Tensor:
    """Matricize, ReLU, the loop of HALS under autograd, and back."""
    matricize = KINDS[kind](head_dim, window)
    nmf = NMF((head_dim, prod(window)), 1, num_iters)
    nmf.closed_form = False
    return matricize.inverse(nmf(matricize(torch.relu(x)), v0), x.shape[2:])


def both(x: Tensor, kind: str, window: tuple[int, ...], head_dim: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Output and gradient of `mix` and of the plain formulation."""
    v0 = torch.rand(prod(window), 1, dtype=torch.promote_types(x.dtype, torch.float32))
    grad = torch.randn(x.shape).to(x.dtype)
    results = []
    for function in (
        lambda x: mix(x, v0, head_dim=head_dim, window=window, shifted=kind == "swin", num_iters=5),
        lambda x: plain(x, kind, window, v0, head_dim),
    ):
        leaf = x.detach().requires_grad_()
        y = function(leaf)
        results.append((y, *torch.autograd.grad(y, leaf, grad)))
    return tuple(results)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, str, tuple[int, ...], int, int]:
    """A volume in one of three memory layouts, a grid, a head dimension, and how much is worked on at a time."""
    size = tuple(draw(st.integers(1, 11)) for _ in range(draw(st.integers(1, 3))))
    kind = draw(st.sampled_from(list(KINDS)))
    window = tuple(min(s, draw(st.sampled_from([1, 3, 4, 8]))) for s in size) if kind != "global" else size
    x = torch.randn(draw(st.integers(1, 2)), 8, *size, dtype=torch.float64)
    layout = draw(st.sampled_from(["channels first", "channels last", "strided"]))
    if layout == "channels last":
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    if layout == "strided":
        x = torch.cat([x, x], dim=2)[:, :, ::2] if size[0] > 1 else x
        x = x[:, :, : size[0]]
    return x, kind, window, draw(st.sampled_from([1, 2, 4, 8])), draw(st.sampled_from([1, 300, 2**19]))


@given(cases())
@settings(deadline=None, max_examples=150)
def test_is_the_plain_formulation(case: tuple[Tensor, str, tuple[int, ...], int, int]) -> None:
    x, kind, window, head_dim, chunk_numbers = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(working_set.WINDOW_NUMBERS, "cpu", chunk_numbers)
        actual, expected = both(x, kind, window, head_dim)
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(16, 16, 16), (20, 28, 20)])
def test_agrees_in_float32(kind: str, size: tuple[int, ...]) -> None:
    window = size if kind == "global" else (8, 8, 8)
    (y, grad), (expected, expected_grad) = both(torch.randn(2, 16, *size), kind, window, 8)
    assert relative_error(y, expected) < 1e-5
    assert relative_error(grad, expected_grad) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_volume_is_computed_in_float32(kind: str, dtype: torch.dtype) -> None:
    x = (30 * torch.randn(1, 8, 8, 8, 8)).to(dtype)  # `X X^T` of it overflows in float16
    x[..., :4] = 0
    with torch.autocast("cpu", dtype=dtype):
        (y, grad), (expected, expected_grad) = both(x, kind, (8, 8, 8) if kind == "global" else (4, 4, 4), 8)
    assert y.dtype == grad.dtype == dtype
    assert relative_error(y, expected) < 1e-2
    assert relative_error(grad, expected_grad) < 1e-2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_the_result_only(dtype: torch.dtype) -> None:
    x = torch.randn(1, 8, 8, 8).to(dtype)
    v0 = torch.rand(16, 1)
    y, full = (mix(t, v0, head_dim=4, window=(4, 4), shifted=False, num_iters=5) for t in (x, x.float()))
    assert torch.equal(y, full.to(dtype))


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_the_derivative(kind: str) -> None:
    window = (4, 6) if kind == "global" else (4, 4)
    v0 = torch.rand(prod(window), 1, dtype=torch.float64)
    x = torch.rand(1, 4, 4, 6, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: mix(x, v0, head_dim=2, window=window, shifted=kind == "swin", num_iters=3), x
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_volume_gives_zero_and_finite_gradients(kind: str) -> None:
    for x in (torch.zeros(1, 4, 8, 8), -torch.rand(1, 4, 8, 8)):
        (y, grad), _ = both(x, kind, (8, 8) if kind == "global" else (4, 4), 2)
        assert torch.all(y == 0)
        assert torch.isfinite(grad).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("exponent", [-100, -46, -30, 33, 60])  # 1e-30 to 1e18
def test_a_multiple_of_the_volume_gives_that_of_the_output_and_the_same_gradient(
    exponent: int, kind: str, dtype: torch.dtype
) -> None:
    window = (8, 9) if kind == "global" else (4, 4)
    (x, grad), v0 = torch.randn(2, 1, 8, 8, 9).to(dtype), torch.rand(prod(window), 1)
    x[:, :4, :4] = 0

    def both_directions(x: Tensor) -> tuple[Tensor, Tensor]:
        leaf = x.detach().requires_grad_()
        y = mix(leaf, v0, head_dim=4, window=window, shifted=kind == "swin", num_iters=5)
        return (y, *torch.autograd.grad(y, leaf, grad))

    y, dx = both_directions(x)
    scaled_y, scaled_dx = both_directions(x * 2.0**exponent)
    torch.testing.assert_close(scaled_y, y * 2.0**exponent, rtol=0, atol=1e-37)  # rounded where float32 ends only
    assert torch.equal(scaled_dx, dx)
    assert y.count_nonzero() > 0


@pytest.mark.parametrize("exponent", [-100, 60])
def test_the_layer_does_not_mind_the_size_of_its_numbers(exponent: int) -> None:
    nmf, x = NMF((4, 16)), torch.rand(2, 4, 16)
    results = []
    for factor in (1.0, 2.0**exponent):
        leaf = (factor * x).requires_grad_()
        y = nmf(leaf)
        results.append((y / factor, *torch.autograd.grad(y.sum(), leaf)))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("window", [(4, 4, 4), (6, 5, 4)])  # the second is the whole image
def test_operator_takes_any_memory_layout(window: tuple[int, ...], compiled: bool) -> None:
    shape = (2, 6, 5, 4, 8)
    settings = (torch.rand(prod(window), 1), 4, list(window), False, 3)
    x, grad = torch.randn(2, *shape)

    def both_directions(x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        ops = torch.ops.nnunetv2_factorizer
        return ops.mix(x, *settings), ops.mix_backward(grad, x, *settings)

    expected = both_directions(x, grad)
    function: Any = torch.compile(both_directions) if compiled else both_directions
    for order in ((4, 0, 1, 2, 3), (3, 2, 1, 0, 4)):
        back = [order.index(axis) for axis in range(5)]
        x_permuted, grad_permuted = (t.permute(order).contiguous().permute(back) for t in (x, grad))
        for given_x, given_grad in ((x_permuted, grad), (x, grad_permuted), (x_permuted, grad_permuted)):
            actual = function(given_x, given_grad)
            torch.testing.assert_close(actual, expected, rtol=0, atol=0)
            assert all(t.is_contiguous() for t in actual)


@pytest.mark.parametrize(("window", "shifted"), [((8, 6, 4), False), ((4, 4, 4), False), ((4, 4, 4), True)])
def test_operator_is_what_it_is_registered_as(window: tuple[int, ...], shifted: bool) -> None:
    x = torch.randn(2, 8, 6, 4, 4, requires_grad=True)
    permuted = torch.randn(2, 4, 4, 6, 8).permute(0, 4, 3, 2, 1).requires_grad_()
    for volume in (x, permuted):
        arguments: tuple[Any, ...] = (volume, torch.rand(prod(window), 1), 2, list(window), shifted, 3)
        torch.library.opcheck(torch.ops.nnunetv2_factorizer.mix.default, arguments)


def test_keeps_the_volume_and_little_else() -> None:
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = torch.randn(1, 32, 32, 32, 32).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        mix(x, torch.rand(512, 1), head_dim=8, window=(8, 8, 8), shifted=True, num_iters=5)
    assert sum(kept.values()) < 1.05 * x.numel() * 4


def test_second_derivative_is_refused_with_the_setting_that_has_one() -> None:
    x = torch.rand(1, 4, 8, 8, requires_grad=True)
    y = mix(x, torch.rand(16, 1), head_dim=4, window=(4, 4), shifted=True, num_iters=5)
    (grad,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="closed_form = False"):
        grad.sum().backward()


@pytest.mark.parametrize("closed_form", [True, False])
def test_the_layer_has_a_second_derivative(closed_form: bool) -> None:
    nmf = NMF((4, 16)).double()
    nmf.closed_form = closed_form
    matrix = torch.rand(2, 4, 16, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradgradcheck(nmf, matrix)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="head_dim must divide the number of channels, 4, got 3"):
        mix(torch.rand(1, 4, 8, 8), torch.rand(16, 1), head_dim=3, window=(4, 4), shifted=False, num_iters=5)
    with pytest.raises(ValueError, match=r"v0 must have the shape \(16, 1\) .* got \(8, 1\)"):
        mix(torch.rand(1, 4, 8, 8), torch.rand(8, 1), head_dim=4, window=(4, 4), shifted=False, num_iters=5)


@pytest.mark.parametrize(("channels", "head_dim"), [(64, 8), (48, 8), (40, 8), (128, 64), (24, 1)])
def test_channels_are_multiplied_in_groups_of_whole_heads(channels: int, head_dim: int) -> None:
    x = torch.randn(1, channels, 6, 8, dtype=torch.float64)
    actual, expected = both(x, "swin", (4, 4), head_dim)
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-7, atol=1e-9)
