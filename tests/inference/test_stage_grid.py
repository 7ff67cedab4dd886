"""Tiles on the grid of a stage: where they lie, what becomes of straight lines, and back to voxels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nnunetv2_factorizer.inference.stage_grid import grid_size, onto_grid, stage_strides, to_voxels


def test_strides_of_a_stage() -> None:
    assert stage_strides((20, 320, 256), (20, 40, 16), 3) == (1, 8, 16)
    assert stage_strides((320, 256), (40, 16), 3) == (1, 8, 16)  # a network in 2D
    assert stage_strides((10, 8), (3, 4), 2) == (1, 2)
    assert grid_size((21, 320, 257), (1, 8, 16)) == (21, 40, 17)


@given(stride=st.integers(1, 9), cells=st.integers(1, 5), start=st.integers(0, 30), behind=st.integers(0, 30))
def test_a_tile_lies_on_all_cells_that_have_a_voxel_of_it(stride: int, cells: int, start: int, behind: int) -> None:
    patch = stride * cells
    region, strides = (slice(start, start + patch),), (stride,)
    values, (on,) = onto_grid(torch.ones(cells), region, strides, beyond=1)
    weights, _ = onto_grid(torch.ones(cells), region, strides, beyond=0)
    expected = sorted({voxel // stride for voxel in range(start, start + patch)})
    assert list(range(on.start, on.stop)) == expected
    assert on.stop <= grid_size((start + patch + behind,), strides)[0]
    torch.testing.assert_close(values, torch.ones(len(expected)))
    assert (weights > 0).all()
    assert weights.sum().item() == pytest.approx(cells)


def test_a_straight_line_stays_where_it_is() -> None:
    """Its value is the position of the voxel along two axes; in the first and the last cell it may be cut off."""
    strides, region = (4, 6), (slice(5, 25), slice(3, 27))
    centres = [start + stride * (torch.arange(4.0 + (stride == 4)) + 0.5) - 0.5 for start, stride in ((5, 4), (3, 6))]
    tile = centres[0][:, None] + 100 * centres[1]
    values, cells = onto_grid(tile, region, strides, beyond=1)
    grid = [
        stride * (torch.arange(index.start, index.stop) + 0.5) - 0.5
        for index, stride in zip(cells, strides, strict=True)
    ]
    expected = grid[0][:, None] + 100 * grid[1]
    torch.testing.assert_close(values[1:-1, 1:-1], expected[1:-1, 1:-1])
    rows, columns = torch.arange(32.0)[:, None], torch.arange(48.0)
    lines = torch.stack([4 * torch.arange(8.0) + 1.5] * 8, 1) + 100 * (6 * torch.arange(8.0) + 2.5)
    torch.testing.assert_close(to_voxels(lines, strides)[2:-2, 3:-3], (rows + 100 * columns)[2:-2, 3:-3])


def test_a_slice_of_a_2d_network_keeps_its_number() -> None:
    tile = torch.arange(6.0).reshape(2, 3)
    values, cells = onto_grid(tile, (7, slice(4, 8), slice(2, 8)), (1, 2, 2), beyond=1)
    assert cells == (7, slice(2, 4), slice(1, 4))
    assert values is tile


def test_a_map_without_strides_is_not_touched() -> None:
    image = torch.rand(3, 4, 5)
    assert to_voxels(image, (1, 1, 1)) is image
    np.testing.assert_array_equal(to_voxels(image, (2, 1, 1))[0], image[0])
