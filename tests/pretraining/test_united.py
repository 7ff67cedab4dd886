"""United: its losses against their formulas, its steps, and that it learns what can be learned, and no more."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from nnunetv2_factorizer.pretraining.task import TaskNetwork
from nnunetv2_factorizer.pretraining.tasks import United, UnitedD, UnitedDR, UnitedJoint, UnitedRotation, UnitedRubik
from nnunetv2_factorizer.pretraining.tasks.puzzles import Puzzle
from nnunetv2_factorizer.pretraining.tasks.united import Answers, reversed_gradient
from nnunetv2_factorizer.trainers.nnUNetTrainer_PretrainMAE import nnUNetTrainer_PretrainMAE
from nnunetv2_factorizer.trainers.nnUNetTrainer_PretrainUnitedDRA import nnUNetTrainer_PretrainUnitedDRA
from tests.training.networks import NETWORKS, network
from tests.training.small_trainer import PATCH, make_trainer

KINDS = [United, UnitedRotation, UnitedRubik]


class JointRotation(UnitedJoint, UnitedRotation):
    pass


class JointRubik(UnitedJoint, UnitedRubik):
    pass


def made(kind: type[United], name: str = "PlainConvUNet", num_axes: int = 2) -> TaskNetwork:
    """Restores two channels of patches with sides of 16 voxels."""
    torch.manual_seed(0)
    body = network(name, num_axes)
    body.decoder.deep_supervision = False
    conv = {2: nn.Conv2d, 3: nn.Conv3d}[num_axes]
    body.decoder.seg_layers[-1] = conv(8, 2, 1)
    return TaskNetwork(body, kind(body, 2, (16,) * num_axes))


def batch(size: int = 2, num_axes: int = 2) -> dict[str, Any]:
    inside = torch.ones(size, 1, *[16] * num_axes, dtype=torch.int16)
    inside[..., 0] = 0
    return {"data": torch.randn(size, 2, *inside.shape[2:]), "target": inside, "keys": ["case"] * size}


@pytest.mark.parametrize("kind", [UnitedJoint, JointRubik])
def test_loss_is_that_of_the_paper(kind: type[United]) -> None:
    trained = made(kind)
    posed = trained.task.pose(batch())
    answers, image, known = posed["target"]
    outputs = trained(posed["data"])
    assert outputs.restored is not None
    assert outputs.judged is not None
    of_answers, of_voxels, of_pairs = [], [], []
    for b in range(2):
        first = 0
        for question, number in enumerate(trained.task.pieces.choices):
            p = outputs.logits[b, first : first + number].exp()
            of_answers.append(-math.log(p[answers[b, question]].item() / p.sum().item()))
            first += number
        for place in known[b, 0].nonzero().tolist():
            for c in range(2):
                at = (b, c, *place)
                of_voxels.append((image[at] - outputs.restored[at]).item() ** 2)
        a_true, a_restored = outputs.judged[b].sigmoid().item(), outputs.judged[2 + b].sigmoid().item()
        of_pairs.append(math.log(a_true) + math.log(1 - a_restored))
    expected = sum(sum(terms) / len(terms) for terms in (of_answers, of_voxels)) - sum(of_pairs) / 2
    assert trained.task.loss(outputs, posed["target"]).item() == pytest.approx(expected, rel=1e-4)


def test_adversary_ascends_and_the_others_descend() -> None:
    trained = made(UnitedJoint)
    posed = trained.task.pose(batch())
    judged = trained(posed["data"]).judged
    l_a = nn.functional.logsigmoid(judged[:2]).mean() + nn.functional.logsigmoid(-judged[2:]).mean()
    l_a.backward()  # through the layer that reverses
    reversed_ = {name: p.grad.clone() for name, p in trained.named_parameters() if p.grad is not None}
    trained.zero_grad()
    of_plain = made(UnitedJoint)
    of_plain.load_state_dict(trained.state_dict())
    of_plain.task.lambda_a = -1.0  # type: ignore[misc]
    judged = of_plain(posed["data"]).judged
    (nn.functional.logsigmoid(judged[:2]).mean() + nn.functional.logsigmoid(-judged[2:]).mean()).backward()
    for name, p in of_plain.named_parameters():
        if name in reversed_:
            assert p.grad is not None
            factor = 1 if name.startswith("task.adversary") else -0.01
            torch.testing.assert_close(reversed_[name], factor * p.grad, rtol=1e-3, atol=1e-7)
    assert any(name.startswith("body.decoder") for name in reversed_)


def test_reversed_gradient_leaves_values_alone() -> None:
    x = torch.randn(5, requires_grad=True)
    y = reversed_gradient(x, 0.3)
    assert torch.equal(x, y)
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.full((5,), -0.3))


@pytest.mark.parametrize("kind", KINDS)
def test_image_is_restored_where_it_was_shown(kind: type[United]) -> None:
    task = made(kind).task
    given = batch()
    posed = task.pose(given)
    answers, image, known = posed["target"]
    distorted = posed["data"][:, :2]
    for b in range(2):
        restored = task.pieces.restore(distorted[b], answers[b].tolist())
        assert torch.equal(restored, given["data"][b] * known[b])
    assert torch.equal(posed["data"][:, 2:4], image * known)
    assert torch.equal(posed["data"][:, 4:], known.float())
    assert known.any()
    assert not (known & (given["target"] == 0)).any()


@pytest.mark.parametrize("kind", [*KINDS, UnitedD])
def test_zero_and_one_are_learned(kind: type[United]) -> None:
    """One who always says the same, and one who is right, on a batch in which each answer comes equally often."""
    task, choices = made(kind).task, made(kind).task.pieces.choices
    answers = torch.stack([torch.arange(math.lcm(*choices)) % number for number in choices], dim=1)
    constant = Answers(torch.zeros(len(answers), sum(choices)))
    assert task.learned(task.measure(constant, [answers])) == pytest.approx(0, abs=1e-6)
    one_hot = [nn.functional.one_hot(y, number) for y, number in zip(answers.unbind(1), choices, strict=True)]
    assert task.learned(task.measure(Answers(torch.cat(one_hot, dim=1).float()), [answers])) == 1


def test_steps_follow_one_another() -> None:
    def steps(kind: type[United], epochs: int) -> list[str]:
        task, active = made(kind).task, []
        for epoch in range(epochs):
            task.start_epoch(epoch / epochs)
            active.append(task.active)
        return active

    assert steps(United, 6) == ["D", "D", "DR", "DR", "DRA", "DRA"]
    assert steps(United, 250).count("D") == 84
    assert steps(UnitedDR, 4) == ["D", "D", "DR", "DR"]
    assert steps(UnitedD, 3) == ["D"] * 3
    assert steps(UnitedJoint, 3) == ["DRA"] * 3


@pytest.mark.parametrize("num_axes", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_step_moves_its_parts(name: str, num_axes: int) -> None:
    trained = made(UnitedRotation, name, num_axes)
    optimizer = AdamW(trained.parameters(), lr=1e-3, weight_decay=0.0)
    for done, parts in ((0, {"encoder", "head"}), (0.34, {"decoder"}), (0.67, {"adversary"})):
        trained.task.start_epoch(done)
        before = {n: p.clone() for n, p in trained.named_parameters()}
        posed = trained.task.pose(batch(2, num_axes))
        optimizer.zero_grad()
        trained.task.loss(trained(posed["data"]), posed["target"]).backward()
        optimizer.step()
        moved = {n.split(".")[1] for n, p in trained.named_parameters() if not torch.equal(p, before[n])}
        assert parts <= moved
    assert moved == {"encoder", "decoder", "head", "adversary"}


def ramps(number: int) -> torch.Tensor:
    """Images that are brighter and brighter from one corner to the other, each axis in its own way, and noisy."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
    return (rows + 2 * columns).expand(number, 2, 16, 16) + 0.2 * torch.randn(number, 2, 16, 16)


def noise(number: int) -> torch.Tensor:
    return torch.randn(number, 2, 16, 16)


def learned(kind: type[United], images: Any, steps: int, margin: int = 0) -> tuple[float, float]:
    """The share of the puzzle, and of the variance of the image that is restored, after so many steps."""
    trained = made(kind)
    optimizer = AdamW(trained.parameters(), lr=5e-3)
    inside = torch.ones(1, 1, 16, 16)
    inside[:, :, :margin] = 0

    def given(number: int) -> dict[str, Any]:
        return {"data": images(number) * inside, "target": inside.expand(number, -1, -1, -1)}

    for _ in range(steps):
        posed = trained.task.pose(given(16))
        optimizer.zero_grad()
        trained.task.loss(trained(posed["data"]), posed["target"]).backward()
        optimizer.step()
    with torch.no_grad():
        posed = trained.task.pose(given(128))
        outputs = trained(posed["data"])
    image = posed["target"][1]
    error = ((outputs.restored - image) ** 2).mean().item() if outputs.restored is not None else math.nan
    return trained.task.learned(trained.task.measure(outputs, posed["target"])), 1 - error / image.var().item()


@pytest.mark.parametrize("kind", [UnitedJoint, JointRotation, JointRubik])
def test_learns(kind: type[United]) -> None:
    of_puzzle, of_image = learned(kind, ramps, 30)
    assert of_puzzle > 0.5
    assert of_image > 0.4


@pytest.mark.parametrize("kind", [UnitedJoint, JointRubik])
def test_noise_teaches_nothing(kind: type[United]) -> None:
    assert abs(learned(kind, noise, 20)[0]) < 0.15


def test_outline_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bright noise in an image that ends within the patch, beyond which it is 0: seen, its outline tells the answer."""

    def bright(number: int) -> torch.Tensor:
        return 3 + noise(number)

    assert abs(learned(UnitedRotation, bright, 40, margin=4)[0]) < 0.15
    monkeypatch.setattr(Puzzle, "shared", lambda _, inside: torch.ones_like(inside))
    assert learned(UnitedRotation, bright, 40, margin=4)[0] > 0.5


def test_trainer_goes_through_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(nnUNetTrainer_PretrainUnitedDRA, tmp_path, monkeypatch)
    trainer.num_epochs = 3
    trainer.initialize()
    given = {"data": torch.randn(2, 2, *PATCH), "target": torch.ones(2, 1, *PATCH), "keys": ["a", "b"]}
    for trainer.current_epoch, active in enumerate(("D", "DR", "DRA")):
        trainer.on_train_epoch_start()
        assert trainer._task().active == active
        trainer.train_step(given)
        assert trainer.validation_step(given)["unlearned"] == pytest.approx(1 / 24)
    exported = trainer._pretrained()["network_weights"]
    assert not [name for name in exported if not name.startswith(("encoder.", "decoder."))]


def test_images_stay_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rotation or mirroring is the question, augmentation must not do either."""
    name = "configure_rotation_dummyDA_mirroring_and_inital_patch_size"
    rotation, _, _, mirror_axes = getattr(make_trainer(nnUNetTrainer_PretrainUnitedDRA, tmp_path, monkeypatch), name)()
    assert rotation == (0.0, 0.0)
    assert mirror_axes == ()
    *_, mirror_axes = getattr(make_trainer(nnUNetTrainer_PretrainMAE, tmp_path, monkeypatch), name)()
    assert mirror_axes == (0, 1, 2)
