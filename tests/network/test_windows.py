"""Windows and heads follow spacing and strides, and no patch."""

import pytest

from nnunetv2_factorizer.network.windows import windows_and_heads

ONES = [(1, 1, 1)]


@pytest.mark.parametrize("side", [32, 80, 128, 320])
def test_every_patch_has_the_same_windows(side: int) -> None:
    assert windows_and_heads([1.0] * 3, [side, 16, side], ONES) == {"window_size": [[8, 8, 8]], "head_dim": 8}


@pytest.mark.parametrize(("mm", "slices"), [(1.2, 8), (2.0, 4), (3.0, 2), (6.0, 1), (50.0, 1)])
def test_thicker_slices_get_flatter_windows(mm: float, slices: int) -> None:
    assert windows_and_heads([mm, 1.0, 1.0], [16, 128, 128], ONES)["window_size"] == [[slices, 8, 8]]


def test_strides_even_the_spacing_out() -> None:
    strides = [(1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2)]
    windows = windows_and_heads([4.0, 1.0, 1.0], [16, 128, 128], strides)["window_size"]
    assert windows == [[2, 8, 8], [4, 8, 8], [8, 8, 8], [8, 8, 8]]


def test_2d_and_strides_of_one_number() -> None:
    expected = {"window_size": [[8, 8], [8, 8]], "head_dim": 8}
    assert windows_and_heads([1.0, 1.0], [512, 512], [(1, 1), (2, 2)]) == expected
    assert windows_and_heads([1.0, 1.0], [512, 512], [1, 2]) == expected
