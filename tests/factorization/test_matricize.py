"""Matricize and back, for every kind of window and size; columns in the documented order."""

from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nnunetv2_factorizer.factorization import NMF, GlobalMatricize, LocalMatricize, ShiftedWindowMatricize

Matricize = GlobalMatricize | LocalMatricize


@st.composite
def cases(draw: st.DrawFn) -> tuple[Matricize, Tensor]:
    """A matricize of each kind, and an image in either memory format."""
    num_axes = draw(st.sampled_from([2, 3]))
    size = tuple(draw(st.integers(1, 11)) for _ in range(num_axes))
    window = draw(
        st.sampled_from([(4,) * num_axes, (3,) * num_axes, (5,) * num_axes, (1, 8, 8)[-num_axes:], (8,) * num_axes])
    )
    head_dim = draw(st.sampled_from([1, 2, 4]))
    kind = draw(st.sampled_from([GlobalMatricize, LocalMatricize, ShiftedWindowMatricize]))
    x = torch.randn(draw(st.integers(1, 2)), 4, *size)
    if draw(st.booleans()):
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    return kind(head_dim, size if kind is GlobalMatricize else window), x


@given(cases())
@settings(deadline=None, max_examples=200)
def test_inverse_undoes_forward(case: tuple[Matricize, Tensor]) -> None:
    matricize, x = case
    matrices = matricize(x)
    assert matrices.shape[-2] == matricize.head_dim
    assert torch.equal(matricize.inverse(matrices, x.shape[2:]), x)


@given(cases())
@settings(deadline=None, max_examples=50)
def test_factors_fit_the_matrices(case: tuple[Matricize, Tensor]) -> None:
    matricize, x = case
    v0 = torch.rand(prod(matricize.window), 2)
    assert matricize.fit(v0, x.shape[2:]).shape == (matricize(x).shape[-1], 2)


def test_columns_are_the_flattened_window_and_rows_the_channels_of_a_head() -> None:
    x = torch.arange(8 * 4 * 6, dtype=torch.float32).reshape(1, 8, 4, 6)
    matrices = LocalMatricize(4, (2, 3))(x)
    assert matrices.shape == (1, 4, 2, 4, 6)
    # Second window of the second row of windows, second head.
    assert torch.equal(matrices[0, 3, 1], x[0, 4:, 2:, 3:].reshape(4, 6))
    assert torch.equal(GlobalMatricize(4, (4, 6))(x)[0, 1], x[0, 4:].reshape(4, 24))


def test_shifted_grid_is_the_rolled_volume() -> None:
    x = torch.randn(1, 2, 8, 8, 8)
    local = LocalMatricize(2, (4, 4, 4))
    regular, shifted = ShiftedWindowMatricize(2, (4, 4, 4))(x)
    assert torch.equal(regular, local(x))
    assert torch.equal(shifted, local(torch.roll(x, (2, 2, 2), (2, 3, 4))))


def test_inverse_averages_the_two_grids() -> None:
    matricize = ShiftedWindowMatricize(1, (2, 2))
    matrices = matricize(torch.ones(1, 1, 4, 4))
    matrices[1] *= 3
    assert torch.equal(matricize.inverse(matrices, (4, 4)), torch.full((1, 1, 4, 4), 2.0))


def test_a_window_shrunk_to_the_volume_gives_what_padding_it_would() -> None:
    matricize = LocalMatricize(4, (4, 8))
    nmf = NMF((4, 32)).double()
    x = torch.rand(1, 4, 3, 8, dtype=torch.float64)
    shrunk = matricize.inverse(nmf(matricize(x), matricize.fit(nmf.v0, (3, 8))), (3, 8))
    padded = torch.nn.functional.pad(x, [0, 0, 0, 1])
    whole = matricize.inverse(nmf(matricize(padded)), (4, 8))[:, :, :3]
    torch.testing.assert_close(shrunk, whole)


def test_global_factors_are_interpolated_for_another_size() -> None:
    matricize = GlobalMatricize(2, (4, 4))
    v0 = torch.full((16, 1), 0.25)
    torch.testing.assert_close(matricize.fit(v0, (6, 10)), torch.full((60, 1), 0.25))
    assert matricize.fit(v0, (4, 4)) is v0


@pytest.mark.parametrize(
    "matricize", [GlobalMatricize(3, (4, 4)), LocalMatricize(3, (4, 4)), ShiftedWindowMatricize(3, (4, 4))]
)
def test_head_dim_must_divide_the_channels(matricize: Matricize) -> None:
    with pytest.raises(ValueError, match="head_dim must divide the number of channels, 8, got 3"):
        matricize(torch.zeros(1, 8, 4, 4))


def test_window_of_another_dimension() -> None:
    with pytest.raises(ValueError, match=r"window .* is for 2D images, got one of size"):
        LocalMatricize(1, (4, 4))(torch.zeros(1, 1, 4, 4, 4))
