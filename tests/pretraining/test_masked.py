"""Masked reconstruction against its definition, and the blocks and places that it is made of."""

import numpy as np
import pytest
import torch
from torch import nn

from nnunetv2_factorizer.pretraining.blocks import block_size, random_blocks
from nnunetv2_factorizer.pretraining.places import places
from nnunetv2_factorizer.pretraining.task import Task
from nnunetv2_factorizer.pretraining.tasks import MaskedReconstruction, SimMIM

PATCH = (10, 20)


class Identity(nn.Module):
    """A body that gives back what it sees."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def posed(task: Task) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    inside = torch.ones(2, 1, *PATCH, dtype=torch.int16)
    inside[..., :4] = 0
    batch = task.pose({"data": torch.randn(2, 3, *PATCH), "target": inside, "keys": ["a", "b"]})
    return batch["data"], *batch["target"]


@pytest.mark.parametrize(("kind", "power"), [(MaskedReconstruction, 2), (SimMIM, 1)])
def test_loss_is_the_mean_error_of_masked_voxels_inside_the_image(kind: type[MaskedReconstruction], power: int) -> None:
    task = kind(nn.Identity(), 3, PATCH)
    _, image, masked = posed(task)
    restored = torch.randn_like(image)
    errors = [
        (restored[b, c, i, j] - image[b, c, i, j]).abs() ** power
        for b, _, i, j in np.argwhere(masked.numpy())
        for c in range(3)
    ]
    torch.testing.assert_close(task.loss(restored, [image, masked]), torch.stack(errors).mean())
    assert not masked[..., :4].any()


def test_nothing_of_a_masked_voxel_is_seen() -> None:
    for kind in (MaskedReconstruction, SimMIM):
        task = kind(nn.Identity(), 3, PATCH)
        data, image, masked = posed(task)
        seen = task(Identity(), data)
        assert not seen[masked.expand_as(seen)].any()  # the token is 0 at first
        visible = data[:, -1:].logical_not().expand_as(seen)
        assert torch.equal(seen[visible], image[visible])


def test_the_token_stands_for_masked_voxels() -> None:
    task = SimMIM(nn.Identity(), 3, PATCH)
    assert task.token is not None
    with torch.no_grad():
        task.token.fill_(7)
    data, _, masked = posed(task)
    assert (task(Identity(), data)[masked.expand(-1, 3, -1, -1)] == 7).all()


def test_zero_and_one_are_learned() -> None:
    task = MaskedReconstruction(nn.Identity(), 3, PATCH)
    _, image, masked = posed(task)
    assert task.learned(task.measure(image, [image, masked])) == 1
    mean = torch.stack([image[b].masked_select(masked[b]).view(3, -1).mean(1) for b in range(2)])
    constant = mean[..., None, None].expand_as(image)
    assert task.learned(task.measure(constant, [image, masked])) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", [(2, 1, 12, 18), (3, 2, 7, 10, 5)])
def test_blocks_are_whole_and_as_many_as_asked(shape: tuple[int, ...]) -> None:
    block = block_size(shape[2:], 4)
    mask = random_blocks(shape, block, 0.6, torch.device("cpu"))
    assert mask.shape == (shape[0], 1, *shape[2:])
    grid = [-(-n // side) for n, side in zip(shape[2:], block, strict=True)]
    for item in mask:
        corner = item[0][tuple(slice(None, None, side) for side in block)]
        assert list(corner.shape) == grid
        assert corner.sum() == round(0.6 * np.prod(grid))
        spread = corner
        for axis, side in enumerate(block):
            spread = spread.repeat_interleave(side, axis).narrow(axis, 0, shape[2 + axis])
        assert torch.equal(spread, item[0])


def test_block_is_no_longer_than_a_short_axis() -> None:
    assert block_size((4, 160, 160), 10) == (4, 16, 16)
    assert block_size((3, 5), 10) == (1, 1)


def test_places_are_parts_of_equal_size() -> None:
    where = places((8, 5), 4)
    assert where.shape == (2, 8, 5)
    assert where[0, :, 0].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert where[1, 3].tolist() == [1, 1, 2, 3, 4]
    assert places((8, 5), 0).tolist() == np.ones((1, 8, 5)).tolist()
