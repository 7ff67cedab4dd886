"""Linear attention against the formulas of its papers, which make the matrix of all pairs of tokens."""

import pytest
import torch
from torch import Tensor

from nnunetv2_factorizer.network.linear_attention import (
    context_matrix,
    favor_attention,
    linear_attention,
    orthogonal_features,
)
from tests.conftest import relative_error

TOKENS, SIZE = 50, 8


def query_key_value(scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = torch.randn(3, 2, 3, TOKENS, SIZE, dtype=torch.float64)  # 2 images, 3 heads
    return scale * query, scale * key, value


def phi(x: Tensor, features: Tensor) -> Tensor:
    """Positive random features, as the Performers write them."""
    x = x / x.shape[-1] ** 0.25
    return torch.exp(x @ features.T - x.norm(dim=-1, keepdim=True) ** 2 / 2) / len(features) ** 0.5


def test_efficient_attention_is_its_formula() -> None:
    query, key, value = query_key_value()
    weights = key.exp() / key.exp().sum(-2, keepdim=True)
    context = torch.einsum("bhnm,bhne->bhme", weights, value)
    torch.testing.assert_close(context_matrix(key, value), context)
    expected = torch.einsum("bhnm,bhme->bhne", query.exp() / query.exp().sum(-1, keepdim=True), context)
    torch.testing.assert_close(linear_attention(query, key, value), expected)


def test_favor_is_the_normalised_product_of_its_features() -> None:
    query, key, value = query_key_value()
    features = orthogonal_features(16, SIZE, seed=0).double()
    pairs = phi(query, features) @ phi(key, features).transpose(-1, -2)
    expected = pairs / pairs.sum(-1, keepdim=True) @ value
    torch.testing.assert_close(favor_attention(query, key, value, features), expected)


def test_more_features_are_closer_to_softmax_attention() -> None:
    query, key, value = query_key_value(0.4)
    expected = torch.softmax(query @ key.transpose(-1, -2) / SIZE**0.5, -1) @ value
    errors = []
    for number in (16, 128, 1024):
        draws = [favor_attention(query, key, value, orthogonal_features(number, SIZE, seed)) for seed in range(8)]
        errors.append(sum(relative_error(draw, expected) for draw in draws) / len(draws))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]  # as 1 / sqrt(number) does: a factor of 2.8 each
    assert errors[2] < 0.1


def test_features_are_orthogonal_as_long_as_gaussian_vectors_and_fixed_by_the_seed() -> None:
    state = torch.get_rng_state()
    features = orthogonal_features(20, SIZE, seed=1)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(features, orthogonal_features(20, SIZE, seed=1))
    assert not torch.allclose(features, orthogonal_features(20, SIZE, seed=2))
    directions = features / features.norm(dim=1, keepdim=True)
    for block in directions.split(SIZE):
        torch.testing.assert_close(block @ block.T, torch.eye(len(block)), atol=1e-5, rtol=0)
    many = orthogonal_features(4000, SIZE, seed=0)
    torch.testing.assert_close(many.T @ many / len(many), torch.eye(SIZE), atol=0.1, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("size", [0.0, 1e-6, 3e4])
def test_extreme_inputs_stay_finite(size: float, dtype: torch.dtype) -> None:
    """The plain quotient is 0 / 0 for the large ones: each of its exponentials is zero."""
    inputs = [(size * torch.randn(1, 2, TOKENS, SIZE)).clamp(-6e4, 6e4).to(dtype).requires_grad_() for _ in range(3)]
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        output = favor_attention(*inputs, orthogonal_features(16, SIZE, seed=0))
    assert output.dtype == dtype
    assert output.abs().max() <= inputs[2].abs().max()  # a mean of the values
    output.float().mean().backward()
    assert all(x.grad.isfinite().all() for x in inputs)
