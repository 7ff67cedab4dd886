"""Comparative and contrastive pre-training against the formulas of the paper, and what they learn."""

from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.pretraining.places import places
from nnunetv2_factorizer.pretraining.stopping import StoppingRule
from nnunetv2_factorizer.pretraining.task import TaskNetwork
from nnunetv2_factorizer.pretraining.tasks import Comparative, Contrastive
from nnunetv2_factorizer.pretraining.tasks.ranking import SliceRanking, draw_slices
from nnunetv2_factorizer.trainers.nnUNetTrainer_PretrainComparative import nnUNetTrainer_PretrainComparative
from tests.training.networks import NETWORKS, network
from tests.training.small_trainer import PATCH, make_trainer

TASKS = [Comparative, Contrastive]
Triplet = tuple[Tensor, Tensor, list[Tensor]]


def crops(keys: list[str], patch: tuple[int, ...], image: int = 24) -> dict[str, Any]:
    """A batch of random crops of images that are a ramp along every axis, and noise."""
    size = (image,) * len(patch)
    ramps = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, image)] * len(patch), indexing="ij"))
    where = torch.from_numpy(places(size, 4))
    data, target = [], []
    for _ in keys:
        crop = (..., *(slice(at, at + n) for n in patch for at in torch.randint(image - n + 1, (1,)).tolist()))
        shown = ramps[:2] + torch.randn(2, *size) / 8
        data.append(shown[crop])
        target.append(where[crop])
    return {"data": torch.stack(data), "target": torch.stack(target).short(), "keys": keys}


def task_network(kind: type[SliceRanking], name: str, patch: tuple[int, ...]) -> TaskNetwork:
    body = network(name, len(patch))
    body.decoder.deep_supervision = False
    return TaskNetwork(body, kind(body, 2, patch))


def references(outputs: Tensor, slices: Tensor, different: Tensor, patch: tuple[int, ...]) -> list[Triplet]:
    """For each axis, class, i, j and p: reference, similar slice, and the dissimilar slices of all other parts."""
    found = []
    for axis, size in enumerate(patch):

        def feature(i: int, p: int, c: int, axis: int = axis, size: int = size) -> tuple[int, Tensor]:
            at = int(slices[i, axis, p]) * outputs.shape[3 + axis] // size
            return at, outputs[i, c].select(1 + axis, at).flatten()

        for i, j in different.nonzero().tolist():
            for p in range(4):
                if slices[i, axis, p] < 0 or slices[j, axis, p] < 0:
                    continue
                for c in range(outputs.shape[1]):
                    at, reference = feature(i, p, c)
                    others = [feature(i, q, c) for q in range(4) if q != p and slices[i, axis, q] >= 0]
                    found.append((reference, feature(j, p, c)[1], [x for other, x in others if other != at]))
    return found


def cosine(a: Tensor, b: Tensor) -> float:
    return float(functional.cosine_similarity(a.double(), b.double(), dim=0))


@pytest.mark.parametrize("low_resolution", [False, True])
def test_losses_and_measure_are_those_of_the_paper(low_resolution: bool) -> None:
    torch.manual_seed(0)
    patch = (20, 12, 16)
    target = Comparative(nn.Identity(), 2, patch).pose(crops(["a", "b", "a"], patch))["target"]
    target[0][1, 2, 3] = -1
    size = (5, 3, 4) if low_resolution else patch
    outputs = torch.randn(3, *((1, 2) if low_resolution else (2, 1)), *size)
    scores = [
        (cosine(reference, similar), [cosine(reference, x) for x in dissimilar])
        for reference, similar, dissimilar in references(outputs, *target, patch)
    ]
    pairs = [(s, d) for s, dissimilar in scores for d in dissimilar]
    assert len(pairs) > 40
    eq2 = sum(log(1 + exp(d - s)) for s, d in pairs) / len(pairs)
    ranked = [-log(exp(s) / (exp(s) + sum(exp(d) for d in others))) for s, others in scores if others]
    for kind, expected in ((Comparative, eq2), (Contrastive, sum(ranked) / len(ranked))):
        task = kind(nn.Identity(), 2, patch)
        assert task.loss(outputs, target).item() == pytest.approx(expected, rel=1e-5)
        assert task.measure(outputs, target).value == pytest.approx(sum(s > d for s, d in pairs) / len(pairs))


def test_loss_is_in_full_precision_under_autocast() -> None:
    task = Comparative(nn.Identity(), 2, (16, 16))
    target = task.pose(crops(["a", "b"], (16, 16)))["target"]
    outputs = torch.randn(2, 3, 1, 16, 16).half()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = task.loss(outputs, target)
    assert torch.equal(loss, task.loss(outputs.float(), target))


@pytest.mark.parametrize("kind", TASKS)
def test_zero_and_one_are_learned(kind: type[SliceRanking]) -> None:
    task = kind(nn.Identity(), 2, (12, 24))
    batch = task.pose(crops(["a", "b", "c"], (12, 24)))
    assert task.learned(task.measure(torch.ones(3, 1, 1, 12, 24), batch["target"])) == 0
    where = crops(["a", "b", "c"], (24, 24))
    posed = kind(nn.Identity(), 2, (24, 24)).pose(where)["target"]
    parts = functional.one_hot(where["target"].long(), 5).movedim(-1, 1).flatten(1, 2)[:, None].float()
    assert task.learned(kind(nn.Identity(), 2, (24, 24)).measure(parts, posed)) == 1


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("why", ["one case", "outside"])
def test_a_batch_without_pairs_is_no_loss_and_no_fault(kind: type[SliceRanking], why: str) -> None:
    task = kind(nn.Identity(), 2, (12, 12))
    batch = crops(["a", "a" if why == "one case" else "b"], (12, 12))
    if why == "outside":
        batch["target"].zero_()
    outputs = torch.randn(2, 3, 1, 12, 12, requires_grad=True)
    target = task.pose(batch)["target"]
    loss = task.loss(outputs, target)
    loss.backward()
    assert loss == 0
    assert outputs.grad is not None
    assert not outputs.grad.any()
    assert task.learned(task.measure(outputs, target)) == 0
    task.observe(loss.item())
    assert task.rule.observed == 0


def test_slices_are_drawn_from_their_part() -> None:
    torch.manual_seed(0)
    where = torch.from_numpy(places((8, 12), 4))[None].clone()
    where[:, :, 0] = 0  # no image
    where[:, 0, 1, :5] = 2  # tilted, most of it still in part 1
    where[:, 0, 3, :7] = 3  # most of it in part 3
    where[:, :, 7, 3:] = 0  # mostly outside
    drawn = torch.stack([draw_slices(where, 4)[0] for _ in range(60)])
    assert [set(drawn[:, 0, p].tolist()) for p in range(4)] == [{1}, {2}, {3, 4, 5}, {6}]
    assert [set(drawn[:, 1, p].tolist()) for p in range(4)] == [set(range(3 * p, 3 * p + 3)) for p in range(4)]
    assert draw_slices(where[:, :, 4:], 4)[0, 0].tolist()[:2] == [-1, -1]


@pytest.mark.parametrize("kind", TASKS)
def test_in_two_dimensions_the_axis_across_slices_is_left_out(kind: type[SliceRanking]) -> None:
    batch = crops(["a", "b"], (12, 12))
    across = torch.ones_like(batch["target"][:, :1])
    torch.manual_seed(0)
    target = kind(nn.Identity(), 2, (12, 12)).pose(batch)["target"][0]
    torch.manual_seed(0)
    with_axis = batch | {"target": torch.cat([across, batch["target"]], dim=1)}
    assert torch.equal(kind(nn.Identity(), 2, (12, 12)).pose(with_axis)["target"][0], target)


class Pointwise(nn.Module):
    """A body that sees no borders: padding would tell it where in the patch it is, and so something of the parts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(2, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 1))
        self.low = nn.Sequential(nn.ReLU(), nn.AvgPool2d(4), nn.Conv2d(16, 16, 1))
        self.head = nn.Conv2d(16, 3, 1)

    def encoder(self, x: Tensor) -> list[Tensor]:
        first = self.first(x)
        return [first, self.low(first)]

    def forward(self, x: Tensor) -> Tensor:
        first, low = self.encoder(x)
        return self.head(functional.relu(first + functional.interpolate(low, scale_factor=4)))


def train(kind: type[SliceRanking], with_decoder: bool, learnable: bool) -> float:
    """How much is learned of ramps, or of nothing but noise."""
    torch.manual_seed(0)
    body, task = Pointwise(), kind(nn.Identity(), 2, (16, 16))
    task.with_decoder = with_decoder
    optimizer = torch.optim.AdamW(body.parameters(), 1e-2)
    learned = []
    for step in range(40):
        batch = task.pose(crops(["a", "b", "c", "d"], (16, 16)))
        outputs = task(body, batch["data"] if learnable else torch.randn_like(batch["data"]))
        loss = task.loss(outputs, batch["target"])
        if step >= 30:
            learned.append(task.learned(task.measure(outputs.detach(), batch["target"])))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return sum(learned) / len(learned)


@pytest.mark.parametrize("with_decoder", [False, True])
@pytest.mark.parametrize("kind", TASKS)
def test_learns_what_can_be_learned(kind: type[SliceRanking], with_decoder: bool) -> None:
    learned, of_noise = (train(kind, with_decoder, learnable) for learnable in (True, False))
    assert learned > 0.4
    assert abs(of_noise) < 0.1


@pytest.mark.parametrize("num_axes", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_takes_both_steps(name: str, num_axes: int) -> None:
    torch.manual_seed(0)
    net = task_network(Comparative, name, (16,) * num_axes)
    batch = net.task.pose(crops(["a", "b"], (16,) * num_axes))
    for with_decoder in (False, True):
        net.task.with_decoder = with_decoder  # type: ignore[assignment]
        net.zero_grad()
        net.task.loss(net(batch["data"]), batch["target"]).backward()
        without = {name for name, p in net.named_parameters() if p.requires_grad and p.grad is None}
        assert not [n for n in without if n.startswith("body.encoder") and "decoder" not in n]
        assert bool(without) is not with_decoder
        assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def test_a_compiled_network_follows_the_step() -> None:
    net = task_network(Comparative, "PlainConvUNet", (16, 16))
    compiled = torch.compile(net, backend="eager")
    data = torch.randn(2, 2, 16, 16)
    assert compiled(data).shape == (2, 1, 16, 4, 4)
    net.task.start_epoch(0.5)
    assert compiled(data).shape == (2, 3, 1, 16, 16)


def test_rule_is_the_paper_s() -> None:
    torch.manual_seed(0)
    losses = (torch.linspace(2, 1, 60).clamp_min(1.5) + 0.02 * torch.rand(60)).tolist()
    rule = StoppingRule(10, 0.01)
    expected = 0
    for n, loss in enumerate(losses, start=1):
        rule.observe(loss)
        rule.observe(float("nan"))
        last = losses[max(0, n - 10) : n]
        bound = 0.01 * abs(sum(losses[:n]) / n)
        if not expected and n >= 10 and all(abs(x - sum(last) / 10) <= bound for x in last):
            expected = n
        assert rule.held == expected
    assert 10 < expected < 60


def test_steps_end_by_the_rule_or_half_way_and_survive_a_restart() -> None:
    def new() -> Comparative:
        return Comparative(nn.Identity(), 2, (16, 16))

    task = new()
    assert task.start_epoch(0.1) is None
    assert not task.with_decoder
    for _ in range(10):
        task.observe(0.5)
    assert not task.finished
    message = task.start_epoch(0.2)
    assert message is not None
    assert "after 10 training steps" in message
    assert task.with_decoder
    assert not task.finished
    for _ in range(9):
        task.observe(0.5)
    again = new()
    again.load_state_dict(task.state_dict())
    assert again.start_epoch(0.3) is None
    assert again.with_decoder
    again.observe(0.5)
    assert again.finished
    slow = new()
    assert slow.start_epoch(0.49) is None
    message = slow.start_epoch(0.5)
    assert message is not None
    assert "half" in message


def test_trainer_trains_the_encoder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(nnUNetTrainer_PretrainComparative, tmp_path, monkeypatch)
    trainer.initialize()
    body = trainer.network.body
    batch = crops(["a", "b"], PATCH)
    moved = []
    for epoch in range(2):
        trainer.current_epoch = epoch
        before = [part.state_dict() for part in (body.encoder, body.decoder)]
        before = [{name: t.clone() for name, t in state.items()} for state in before]
        trainer.on_train_epoch_start()
        trainer.train_step(batch)
        after = [part.state_dict() for part in (body.encoder, body.decoder)]
        moved.append([any(not torch.equal(a[n], b[n]) for n in a) for a, b in zip(before, after, strict=True)])
        trainer.network.eval()
        assert 0 <= trainer.validation_step(batch)["value"] <= 1
    assert moved == [[True, False], [True, True]]
    assert "half of the time" in Path(trainer.log_file).read_text(encoding="utf-8")
