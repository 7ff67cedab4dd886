"""POPAR against the formulas of the paper, and whether it learns what can be learned."""

from math import log
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.pretraining.blocks import join_blocks, split_blocks
from nnunetv2_factorizer.pretraining.task import Batch, TaskNetwork
from nnunetv2_factorizer.pretraining.tasks import POPAR, POPARAppearance, POPAROrder
from tests.pretraining.small_networks import architecture, build
from tests.training.networks import NETWORKS

KINDS = (POPAR, POPAROrder, POPARAppearance)
PATCH = (16, 32)
N = 16
CHANNELS = 2


class AsSeen(POPAR):
    restore = "as_seen"


class AsInThePaper(POPAR):
    order_of_transformed = 1.0


def made(kind: type[POPAR], name: str = "PlainConvUNet", patch: tuple[int, ...] = PATCH) -> TaskNetwork:
    torch.manual_seed(0)
    body = build(
        architecture(name, len(patch), **({} if "UNet" in name else {"patch_size": patch})), CHANNELS, CHANNELS
    )
    body.decoder.deep_supervision = False
    return TaskNetwork(body, kind(body, CHANNELS, patch))


def batch(number: int = 4, patch: tuple[int, ...] = PATCH) -> Batch:
    """Each image begins outside, with more than a row of blocks and a bit."""
    inside = torch.ones(number, 1, *patch, dtype=torch.int16)
    inside[:, :, : patch[0] // 4 + 1] = 0
    return {"data": torch.randn(number, CHANNELS, *patch) * (inside > 0), "target": inside, "keys": ["a"] * number}


def task_and_target(kind: type[POPAR]) -> tuple[POPAR, Batch, list[Tensor]]:
    task, given = made(kind).task, batch()
    assert isinstance(task, POPAR)
    return task, given, task.pose(given)["target"]


@pytest.mark.parametrize("kind", [*KINDS, AsSeen, AsInThePaper])
def test_loss_is_that_of_the_paper_in_means(kind: type[POPAR]) -> None:
    task, given, target = task_and_target(kind)
    source, shuffled = target[3], target[5]
    logits, restored = torch.randn(4, N, N), torch.randn(4, CHANNELS, *PATCH)
    inside = given["target"] > 0
    p, p_hat, p_inside = (split_blocks(x, task.grid) for x in (given["data"], restored, inside))
    order, weights, errors = [], [], []
    for b in range(4):
        for l in range(N):
            if p_inside[b, source[b, l]].any():
                order.append(-logits[b, l].softmax(0)[source[b, l]].log())
                weights.append(1.0 if shuffled[b] else task.order_of_transformed)
            j = source[b, l] if kind is AsSeen else l
            errors += list(((p[b, j] - p_hat[b, l]) ** 2)[:, p_inside[b, j, 0]].flatten())
    l_pop = sum(w * term for w, term in zip(weights, order, strict=True)) / max(sum(weights), 1)
    l_ar = sum(errors) / len(errors)
    expected = task.order_share * l_pop + (1 - task.order_share) * l_ar
    outputs = (logits if task.order_share else None, restored if task.order_share < 1 else None)
    torch.testing.assert_close(task.loss(outputs, target), torch.as_tensor(expected))


def test_half_are_shuffled_and_half_transformed() -> None:
    task, given, (_, _, seen, source, counts, shuffled) = task_and_target(POPAR)
    assert shuffled.sum() == 2
    blocks = split_blocks(given["data"], task.grid)
    for b in range(4):
        assert source[b].sort().values.tolist() == list(range(N))
        assert counts[b].tolist() == [bool(place >= 4) for place in source[b]]  # the first row lies outside
        if shuffled[b]:
            assert torch.equal(seen[b], join_blocks(blocks[b, source[b]][None], task.grid)[0])
        else:
            assert source[b].tolist() == list(range(N))
            assert not torch.equal(seen[b], given["data"][b])
            assert torch.equal(seen[b, :, :5], given["data"][b, :, :5])


@pytest.mark.parametrize(("number", "least", "most"), [(1, 0, 1), (2, 1, 1), (3, 1, 2)])
def test_the_share_of_shuffled_images_is_right_in_the_mean(number: int, least: int, most: int) -> None:
    task = made(POPAR).task
    assert isinstance(task, POPAR)
    numbers = torch.stack([task._choose(number, torch.device("cpu")).sum() for _ in range(200)])
    assert {least, most} == set(numbers.tolist())
    assert numbers.float().mean() == pytest.approx(number / 2, abs=0.15)
    assert task.eval()._choose(number, torch.device("cpu")).sum() == most


@pytest.mark.parametrize("kind", [POPAR, POPAROrder])
def test_a_constant_order_is_nothing_learned_and_the_right_one_everything(kind: type[POPAR]) -> None:
    task, _, target = task_and_target(kind)
    right = nn.functional.one_hot(target[3], N).float()
    assert task.learned(task.measure((right, None), target)) == 1
    constant = torch.arange(N).expand(4, N, N).float()  # the last place for every block
    measure = task.measure((constant, None), target)
    assert measure.unlearned == pytest.approx(1 / 12)
    assert task.learned(measure) == pytest.approx(0, abs=1e-6)


def test_the_image_as_it_is_shown_is_nothing_learned_and_the_original_everything() -> None:
    task, given, target = task_and_target(POPARAppearance)
    assert task.learned(task.measure((None, given["data"]), target)) == 1
    assert task.learned(task.measure((None, target[2]), target)) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("patch", [(16, 16), (8, 16, 16)])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step(name: str, patch: tuple[int, ...], kind: type[POPAR]) -> None:
    network = made(kind, name, patch)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    before = {n: p.clone() for n, p in network.named_parameters()}
    loss_of(network, batch(2, patch)).backward()
    optimizer.step()
    moved = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert ("task.order.weight" in moved) == (kind is not POPARAppearance)
    assert any(n.startswith("body.decoder.") and not n.startswith("body.decoder.encoder.") for n in moved) == (
        kind is not POPAROrder
    )
    assert any(n.startswith("body.encoder.") for n in moved)


def test_compiles_as_one_graph() -> None:
    network = made(POPAR)
    posed = network.task.pose(batch())
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(posed["data"]), network(posed["data"]))


def test_the_lowest_resolution_that_fits_is_read() -> None:
    levels = {patch: made(POPAROrder, patch=patch).task for patch in [(16, 16), (24, 24), (20, 20), (10, 14)]}
    assert [(task.level, task.grid) for task in levels.values()] == [
        (2, (4, 4)),  # cells of 4 voxels in blocks of 4
        (1, (4, 4)),
        (0, (4, 4)),
        (0, (2, 2)),
    ]


def test_a_patch_without_a_grid_is_refused() -> None:
    with pytest.raises(UserError, match="no axis of the patch"):
        POPAR(Pooled(), CHANNELS, (5, 7))


class Pooled(nn.Module):
    """A body whose encoder takes any size."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ListOf(nn.AvgPool2d(1))


class ListOf(nn.Sequential):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [super().forward(x)]


def images(number: int, aligned: bool) -> Batch:
    """The same picture with noise; aligned, it lies in the same place in each, else anywhere, wrapped around."""
    picture = torch.randn(1, CHANNELS, *PATCH, generator=torch.Generator().manual_seed(5)).expand(number, -1, -1, -1)
    if not aligned:
        shifts = torch.stack([torch.randint(n, (number,)) for n in PATCH], 1).tolist()
        picture = torch.stack([x.roll(shift, (1, 2)) for x, shift in zip(picture, shifts, strict=True)])
    data = picture + 0.1 * torch.randn(number, CHANNELS, *PATCH)
    return {"data": data, "target": torch.ones(number, 1, *PATCH), "keys": ["a"] * number}


def loss_of(network: TaskNetwork, given: Batch) -> Tensor:
    posed = network.task.pose(given)
    return network.task.loss(network(posed["data"]), posed["target"])


def learned(kind: type[POPAR], aligned: bool, steps: int) -> float:
    network = made(kind)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(network, images(8, aligned)).backward()
        optimizer.step()
    posed = network.eval().task.pose(images(64, aligned))
    with torch.no_grad():
        outputs: Any = network(posed["data"])
    return network.task.learned(network.task.measure(outputs, posed["target"]))


@pytest.mark.parametrize("kind", [POPAR, POPAROrder])
def test_order_is_learned_where_images_are_alike_and_only_there(kind: type[POPAR]) -> None:
    assert learned(kind, aligned=True, steps=30) > 0.8
    assert abs(learned(kind, aligned=False, steps=30)) < 0.1


def test_appearance_is_learned() -> None:
    assert learned(POPARAppearance, aligned=True, steps=30) > 0.5


def test_a_new_network_knows_no_order() -> None:
    network = made(POPAROrder)
    posed = network.task.pose(images(64, aligned=True))
    outputs = network(posed["data"])
    assert abs(network.task.learned(network.task.measure(outputs, posed["target"]))) < 0.06
    assert network.task.loss(outputs, posed["target"]).item() == pytest.approx(log(N), rel=0.3)
