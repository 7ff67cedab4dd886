"""Blocks of a grid against slices."""

from itertools import product

import pytest
import torch

from nnunetv2_factorizer.pretraining.blocks import divisions, join_blocks, split_blocks


@pytest.mark.parametrize(("size", "grid"), [((6, 4), (3, 2)), ((4, 6, 2), (2, 3, 1))])
def test_blocks_are_slices_row_by_row(size: tuple[int, ...], grid: tuple[int, ...]) -> None:
    image = torch.randn(2, 3, *size)
    blocks = split_blocks(image, grid)
    sides = [n // g for n, g in zip(size, grid, strict=True)]
    for index, place in enumerate(product(*map(range, grid))):
        at = (..., *(slice(i * side, (i + 1) * side) for i, side in zip(place, sides, strict=True)))
        assert torch.equal(blocks[:, index], image[at])
    assert torch.equal(join_blocks(blocks, grid), image)


def test_divisions_divide() -> None:
    assert divisions((40, 56, 18, 7, 3), 4) == (4, 4, 3, 1, 3)
