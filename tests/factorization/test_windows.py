"""Runs and chunks: every voxel is in one place of one window, the one that padding and rolling would put it in."""

from math import ceil, prod

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunetv2_factorizer.factorization import ShiftedWindowMatricize
from nnunetv2_factorizer.factorization.windows import axis_runs, window_chunks


@st.composite
def grids(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """The shape `(B, *S)` of a volume, a window not longer than it, and the most windows of a chunk."""
    size = tuple(draw(st.integers(1, 13)) for _ in range(draw(st.integers(1, 3))))
    window = tuple(min(s, draw(st.sampled_from([1, 2, 3, 4, 8]))) for s in size)
    return (draw(st.integers(1, 2)), *size), window, draw(st.sampled_from([1, 2, 5, 1000]))


@given(grids())
@settings(deadline=None, max_examples=150)
def test_chunks_copy_what_padding_and_rolling_would(case: tuple[tuple[int, ...], tuple[int, ...], int]) -> None:
    shape, window, max_windows = case
    volume = torch.randn(*shape, 2)
    expected = ShiftedWindowMatricize(2, window)(volume.movedim(-1, 1))  # 2, B, windows, 1, 2, N
    number = prod(ceil(s / p) for s, p in zip(shape[1:], window, strict=True))
    for shifted in (False, True):
        matrices = torch.zeros(shape[0] * number, *window, 2)
        seen = torch.zeros(*shape, 2)
        start = 0
        for chunk in window_chunks(shape, window, shifted, max_windows):
            assert len(chunk) <= max(max_windows, ceil(shape[-1] / window[-1]))
            part = matrices[start : start + len(chunk)]
            start += len(chunk)
            part.fill_(torch.nan if chunk.complete else 0)  # of a complete chunk every place must be written
            for voxels, places in chunk.views(volume, part):
                places.copy_(voxels)
            for voxels, _ in chunk.views(seen, part):
                voxels += 1
        assert (seen == 1).all()
        assert torch.equal(matrices.flatten(1, -2).mT, expected[int(shifted)].flatten(0, 2))


def test_whole_windows_are_one_run() -> None:
    """128 voxels in windows of 8: the copies of a row of windows are few, whatever its length."""
    assert len(axis_runs(128, 8, 0)) == 1
    assert len(axis_runs(128, 8, 4)) == 3
    assert len(axis_runs(125, 8, 4)) == 3
    assert len(axis_runs(125, 8, 0)) == 2
