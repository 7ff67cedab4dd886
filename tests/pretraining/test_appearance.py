"""What the transformations of appearance change, and what they keep."""

import pytest
import torch

from nnunetv2_factorizer.pretraining.tasks import appearance
from nnunetv2_factorizer.pretraining.tasks.appearance import (
    curved,
    cut_out,
    locally_shuffled,
    random_boxes,
    transformed,
)

SIZES = [(40, 60), (7, 40, 21)]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("size", SIZES)
def test_shuffling_stays_within_windows_and_keeps_the_channels_of_a_voxel_together(size: tuple[int, ...]) -> None:
    image = torch.randperm(torch.Size(size).numel()).view(1, *size).float()
    shuffled = locally_shuffled(torch.cat([image, -image]))
    assert torch.equal(shuffled[0], -shuffled[1])
    sides = [max(2, round(n / 20)) for n in size]
    corner = tuple(slice(side) for side in sides)
    assert set(shuffled[0][corner].flatten().tolist()) == set(image[0][corner].flatten().tolist())
    rest = [slice(n // side * side, None) for n, side in zip(size, sides, strict=True)]
    for axis, at in enumerate(rest):
        assert torch.equal(shuffled[0].movedim(axis, 0)[at], image[0].movedim(axis, 0)[at])
    assert 0.5 < (shuffled[0] != image[0]).float().mean() < 1


def test_curves_are_monotone_and_keep_the_range() -> None:
    image = torch.linspace(-3, 5, 50).repeat(20, 1)
    changed = curved(image)
    steps = changed.diff()
    rises, falls = (steps > -1e-5).all(1), (steps < 1e-5).all(1)
    assert (rises ^ falls).all()
    assert rises.any()
    assert falls.any()
    torch.testing.assert_close(changed.amin(1), image.amin(1))
    torch.testing.assert_close(changed.amax(1), image.amax(1))


def test_a_constant_image_has_no_range_and_stays_finite() -> None:
    image = torch.full((2, 8, 8), 3.0)
    for change in (curved, locally_shuffled, lambda x: cut_out(x, inner=True)):
        assert torch.equal(change(image), image)


@pytest.mark.parametrize("size", SIZES)
def test_boxes_have_the_sides_asked_for(size: tuple[int, ...]) -> None:
    for _ in range(10):
        box = random_boxes(size, 1, (0.25, 0.5), torch.device("cpu"))
        for axis, voxels in enumerate(size):
            along = box.movedim(axis, 0).flatten(1).any(1)
            assert voxels / 4 - 1 <= along.sum() <= voxels / 2 + 1
        sides = [int(box.movedim(axis, 0).flatten(1).any(1).sum()) for axis in range(len(size))]
        assert box.sum() == torch.Size(sides).numel()  # one box, and no hole in it


@pytest.mark.parametrize("inner", [True, False])
def test_cut_outs_are_noise_in_the_range_of_the_image(inner: bool) -> None:
    image = torch.randn(2, 40, 60)
    changed = cut_out(image, inner)
    torch.manual_seed(0)
    image = torch.randn(2, 40, 60)
    boxes = random_boxes((40, 60), 5, appearance.INNER_SIDES if inner else appearance.OUTER_SIDES, image.device)
    assert torch.equal((changed != image).all(0), boxes if inner else ~boxes)
    assert image.min() <= changed.min()
    assert changed.max() <= image.max()


def test_nothing_changes_outside_the_image() -> None:
    image, inside = torch.randn(2, 40, 60), torch.rand(1, 40, 60) < 0.5
    changed = transformed(image, inside)
    assert torch.equal(changed[:, ~inside[0]], image[:, ~inside[0]])
    assert not torch.equal(changed, image)
