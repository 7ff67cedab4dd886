"""Windows and heads follow spacing, patch and strides."""

import pytest

from nnunetv2_factorizer.network.windows import windows_and_heads

ONES = [(1, 1, 1)]


@pytest.mark.parametrize(("side", "expected"), [(32, 4), (64, 4), (80, 4), (96, 8), (128, 8), (320, 8)])
def test_side_follows_the_patch(side: int, expected: int) -> None:
    assert windows_and_heads([1.0] * 3, [side, 16, side], ONES) == ([[expected] * 3], expected)


@pytest.mark.parametrize(("mm", "slices"), [(1.2, 8), (2.0, 4), (3.0, 2), (6.0, 1), (50.0, 1)])
def test_thicker_slices_get_flatter_windows(mm: float, slices: int) -> None:
    assert windows_and_heads([mm, 1.0, 1.0], [16, 128, 128], ONES)[0] == [[slices, 8, 8]]


def test_strides_even_the_spacing_out() -> None:
    strides = [(1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2)]
    windows, _ = windows_and_heads([4.0, 1.0, 1.0], [16, 128, 128], strides)
    assert windows == [[2, 8, 8], [4, 8, 8], [8, 8, 8], [8, 8, 8]]


def test_2d() -> None:
    assert windows_and_heads([1.0, 1.0], [512, 512], [(1, 1), (2, 2)]) == ([[8, 8], [8, 8]], 8)
