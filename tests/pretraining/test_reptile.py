"""Reptile: the meta-update, its weights and the loss against their formulas; a training that learns, and its export."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from torch import Tensor

from nnunetv2_factorizer.conformance.pretrained import check_pretrained
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.checkpoint import read_checkpoint
from nnunetv2_factorizer.pretraining.export import PRETRAINED, write_pretrained
from nnunetv2_factorizer.pretraining.reptile import BinaryLoss, Reptile, dice_of, part
from nnunetv2_factorizer.pretraining.reptile_sources import VARIABLE
from nnunetv2_factorizer.pretraining.reptile_tasks import MetaTask
from nnunetv2_factorizer.pretraining.reptile_update import WEIGHTINGS, meta_update
from nnunetv2_factorizer.trainers.nnUNetTrainer_PretrainReptile import (
    nnUNetTrainer_PretrainReptile,
    nnUNetTrainer_PretrainReptileIDW,
)
from tests.pretraining.labelled import write_dataset
from tests.pretraining.small_networks import architecture
from tests.training.networks import NETWORKS, plans_of
from tests.training.small_trainer import DATASET, make_trainer, plans
from tests.training.test_trainers import find


class Small(nnUNetTrainer_PretrainReptile):
    num_epochs = 2
    num_iterations_per_epoch = 5
    num_val_iterations_per_epoch = 4
    save_every = 1
    tasks = 2
    shots = 4
    inner_steps = 5


class Still(Small):
    num_epochs = 1
    num_iterations_per_epoch = 1
    beta = 0.0


def trainer_of(cls: type[Reptile], folder: Path, monkeypatch: pytest.MonkeyPatch, *others: float, **of: Any) -> Any:
    """On `others` contrasts beside that of the first data set, with all cases."""
    monkeypatch.setenv(VARIABLE, " ".join(str(996 - i) for i in range(len(others))))
    the_plans, channels = of.get("the_plans", plans_of("PlainConvUNet")), of.get("channels", 1)
    if not (folder / "preprocessed").exists():
        write_dataset(folder / "preprocessed", channels=channels, the_plans=the_plans)
        for i, contrast in enumerate(others):
            write_dataset(folder / "preprocessed", f"Dataset{996 - i}_More", contrast, 1 + i, the_plans=the_plans)
    torch.manual_seed(0)
    trainer = make_trainer(cls, folder, monkeypatch, channels, the_plans)
    del trainer.num_epochs, trainer.num_iterations_per_epoch  # those of the class
    trainer.fold = "all"
    monkeypatch.setattr(trainer.logger, "plot_progress_png", lambda folder: None)
    monkeypatch.setattr(trainer, "plot_network_architecture", lambda: None)
    return trainer


def random_moves(copies: int = 3) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [[torch.randn(2, 3, generator=generator), torch.randn(4, generator=generator)] for _ in range(copies)]


def test_meta_update_is_that_of_the_paper() -> None:
    moves, theta = random_moves(), [torch.ones(2, 3), torch.zeros(4)]
    copies = [[t + m for t, m in zip(theta, move, strict=True)] for move in moves]
    w = []
    for copy in copies:
        square = 0.0
        for t_l, t in zip(copy, theta, strict=True):
            for value, start in zip(t_l.flatten().tolist(), t.flatten().tolist(), strict=True):
                square += (value - start) ** 2
        w.append(1 / square)
    w = [value / sum(w) for value in w]
    assert WEIGHTINGS["IDW"](moves).tolist() == pytest.approx(w, rel=1e-5)
    for weighting, expected in (("IDW", w), ("AW", [1 / 3] * 3)):
        updated = meta_update(theta, moves, WEIGHTINGS[weighting](moves), beta=0.3)
        for i, t in enumerate(theta):
            step = sum(w_l * (copy[i] - t) for w_l, copy in zip(expected, copies, strict=True))
            torch.testing.assert_close(updated[i], t + 0.3 * step)


def test_distance_from_the_others_is_that_of_the_introduction() -> None:
    moves = random_moves()
    flat = torch.stack([torch.cat([m.flatten() for m in move]) for move in moves]).double()
    w = [1 / (flat[i] - flat[[j for j in range(3) if j != i]].mean(0)).square().sum() for i in range(3)]
    expected = torch.stack(w) / sum(w)
    torch.testing.assert_close(WEIGHTINGS["IDW from the others"](moves), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("weighting", ["IDW", "IDW from the others"])
def test_equal_distances_are_equal_weights(weighting: str) -> None:
    first = random_moves(1)[0]
    pair = [first, [-m for m in first]]
    torch.testing.assert_close(WEIGHTINGS[weighting](pair), WEIGHTINGS["AW"](pair))
    still = [[torch.zeros(3)]] * 4
    torch.testing.assert_close(WEIGHTINGS[weighting](still), WEIGHTINGS["AW"](still))


def test_loss_is_weighted_cross_entropy() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 1, 4, 5), torch.zeros(2, 1, 4, 5, dtype=torch.int8)
    y[0, 0, :2, :4], y[1, 0, 0] = 1, -1
    number = {value: int((y == value).sum()) for value in (0, 1)}
    total, weights = 0.0, 0.0
    for logit, label in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True):
        if label >= 0:
            p = 1 / (1 + np.exp(-logit))
            weight = number[0] / number[1] if label else 1.0
            total, weights = total - weight * np.log(p if label else 1 - p), weights + weight
    assert BinaryLoss(["BCE"])(x, y).item() == pytest.approx(total / weights, rel=1e-5)
    assert BinaryLoss(["BCE"])(x, -torch.ones_like(y)).item() == 0


def test_the_other_term_is_minus_the_logarithm_of_dice() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 1, 40, 50), (torch.rand(2, 1, 40, 50) < 0.3).to(torch.int8)
    p = x.sigmoid()
    dice = 2 * (p * y).sum() / (p.sum() + y.sum())
    assert BinaryLoss(["IoU"])(x, y).item() == pytest.approx(-dice.log().item(), rel=1e-2)
    both = BinaryLoss(["BCE", "IoU"])(x, y)
    torch.testing.assert_close(both, BinaryLoss(["BCE"])(x, y) + BinaryLoss(["IoU"])(x, y))
    assert BinaryLoss(["IoU"])(20 * (2.0 * y - 1), y).item() == pytest.approx(0, abs=1e-4)


def test_dice_counts_voxels_of_which_something_is_known() -> None:
    target = torch.tensor([1, 1, 0, -1])
    assert dice_of(torch.tensor([1.0, -1, 1, 1]), target) == 0.5
    assert dice_of(torch.tensor([1.0, 1, -1, 1]), target) == 1


@pytest.mark.parametrize("cls", [nnUNetTrainer_PretrainReptile, nnUNetTrainer_PretrainReptileIDW])
def test_a_meta_step_is_that_of_plain_copies(
    cls: type[Reptile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(type("nnUNetTrainerTest", (cls,), {"tasks": 2, "inner_steps": 2}), tmp_path, monkeypatch, -2.0)
    trainer.initialize()
    tasks: list[MetaTask] = next(trainer.get_dataloaders()[0])
    network = trainer.network
    theta, moves = [p.detach().clone() for p in network.parameters()], []
    for task in tasks:
        copy = deepcopy(network)
        optimizer = torch.optim.SGD(copy.parameters(), 0.01, 0.9, weight_decay=0.003, nesterov=True)
        for index in task.steps:
            batch = part(task.shots, index)
            optimizer.zero_grad()
            BinaryLoss(["BCE"])(copy(batch["data"]), batch["target"]).backward()
            torch.nn.utils.clip_grad_norm_(copy.parameters(), 12)
            optimizer.step()
        moves.append([p.detach() - t for p, t in zip(copy.parameters(), theta, strict=True)])
    names = [name for name, _ in network.named_parameters()]
    bodies = [[m for m, name in zip(move, names, strict=True) if "seg_layers" not in name] for move in moves]
    expected = meta_update(theta, moves, WEIGHTINGS[cls.weighting](bodies), beta=1)
    trainer.on_train_epoch_start()
    trainer.train_step(tasks)
    torch.testing.assert_close(list(network.parameters()), expected)


@pytest.mark.parametrize("num_axes", [2, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_makes_a_step(
    network: str, num_axes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_plans = plans()
    patch = {2: [16, 16], 3: [8, 16, 16]}[num_axes]
    the_plans["configurations"]["3d_fullres"] |= {"architecture": architecture(network, num_axes), "patch_size": patch}
    cls = type("nnUNetTrainerTest", (Small,), {"tasks": 1, "inner_steps": 2})
    trainer = trainer_of(cls, tmp_path, monkeypatch, -2.0, the_plans=the_plans)
    trainer.initialize()
    before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
    training, validation = trainer.get_dataloaders()
    trainer.on_train_epoch_start()
    assert np.isfinite(trainer.train_step(next(training))["loss"])
    unmoved = [name for name, p in trainer.network.named_parameters() if torch.equal(p, before[name])]
    assert all(name.startswith("decoder.seg_layers.") for name in unmoved), unmoved
    after = deepcopy(trainer.network.state_dict())
    assert np.isfinite(trainer.validation_step(next(validation))["loss"])
    assert all(torch.equal(tensor, after[name]) for name, tensor in trainer.network.state_dict().items())


def test_it_learns_goes_on_exactly_and_stands_still_without_meta_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    through = trainer_of(Small, tmp_path, monkeypatch, -2.0, 1.0)
    latest: list[dict[str, Any]] = []
    monkeypatch.setattr(through, "on_epoch_start", lambda: keep_latest(through, latest))
    through.run_training()
    learned = through.logger.get_value("mean_fg_dice", None)
    assert learned[-1] > 0.1, learned
    assert learned[-1] > learned[0]

    torch.save(latest[1], tmp_path / "latest.pth")
    again = trainer_of(Small, tmp_path, monkeypatch, -2.0, 1.0)
    again.load_checkpoint(str(tmp_path / "latest.pth"))
    again.run_training()
    assert again.logger.get_value("mean_fg_dice", None) == learned
    torch.testing.assert_close(again.network.state_dict(), through.network.state_dict(), rtol=0, atol=0)

    still = trainer_of(Still, tmp_path, monkeypatch, -2.0, 1.0)
    still.run_training()
    assert still.logger.get_value("mean_fg_dice", None) == [0]


def keep_latest(trainer: Any, latest: list[dict[str, Any]]) -> None:
    path = Path(trainer.output_folder) / "checkpoint_latest.pth"
    latest.append(torch.load(path, weights_only=False) if path.exists() else {})
    type(trainer).on_epoch_start(trainer)


def test_the_export_has_the_channels_and_classes_of_the_first_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for network in ("PlainConvUNet", "Conv"):
        folder = tmp_path / network
        trainer = trainer_of(Small, folder, monkeypatch, -2.0, channels=2, the_plans=plans_of(network))
        trainer.initialize()
        write_pretrained(folder, trainer._pretrained())
        check_pretrained(folder / PRETRAINED)
        weights = read_checkpoint(str(folder / PRETRAINED))["network_weights"]
        fine_tuned = make_trainer(find("nnUNetTrainerMuon"), folder, monkeypatch, 2, plans_of(network))
        fine_tuned.initialize()
        assert {name: tuple(w.shape) for name, w in weights.items()} == {
            name: tuple(w.shape) for name, w in fine_tuned.network.state_dict().items()
        }
        load_pretrained_weights(fine_tuned.network, str(folder / PRETRAINED))
        # Of channels that are all alike the exported encoder sees what the trained one sees of one of them.
        image = torch.randn(1, 1, 8, 16, 16)
        with torch.no_grad():
            trained = trainer.network.encoder(image)
            exported = fine_tuned.network.encoder(image.expand(-1, 2, -1, -1, -1))
        torch.testing.assert_close(exported, trained, rtol=1e-3, atol=1e-4)


def test_of_the_first_data_set_training_sees_the_cases_of_the_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(Small, tmp_path, monkeypatch, -2.0)
    trainer.fold = 0
    split = {"train": ["case_0", "case_2"], "val": ["case_1"]}
    (tmp_path / "preprocessed" / DATASET / "splits_final.json").write_text(json.dumps([split]))
    trainer.initialize()
    training, validation = trainer._samplers()
    everything = ("case_0", "case_1", "case_2")
    assert [p.cases for p in training.pairs] == [("case_0", "case_2"), everything]
    assert [p.cases for p in validation.pairs] == [("case_1",), everything]


def test_one_binary_data_set_and_several_gpus_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(Small, tmp_path, monkeypatch)
    trainer.initialize()
    with pytest.raises(UserError, match="nothing to learn across: Dataset997_Small has 1 labelled"):
        trainer.get_dataloaders()
    trainer.is_ddp = True
    with pytest.raises(UserError, match="trains on one GPU"):
        trainer.initialize()
