"""Every recipe trains every network of nnU-Net and of ours: steps, schedule, scaler, clipping, going on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import Module

from nnunetv2_factorizer.models.checkpoint import read_checkpoint
from nnunetv2_factorizer.training import Guard
from nnunetv2_factorizer.training.recipes import RECIPES
from tests.training.networks import NETWORKS, plans_of
from tests.training.small_trainer import make_batch, make_trainer


def trainer_of(recipe: str, network: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> Any:
    cls = type("nnUNetTrainerOfTest", (Guard, RECIPES[recipe]), attributes)
    torch.manual_seed(0)
    trainer = make_trainer(cls, folder, monkeypatch, the_plans=plans_of(network))
    trainer.initialize()
    return trainer


def batches(number: int) -> list[dict[str, Any]]:
    torch.manual_seed(1)
    return [make_batch() for _ in range(number)]


def train(trainer: Any, epoch: int) -> None:
    """An epoch of two iterations."""
    trainer.current_epoch = epoch
    trainer.on_train_epoch_start()
    for batch in batches(4)[2 * epoch : 2 * epoch + 2]:
        trainer.train_step(batch)


def weights(trainer: Any) -> dict[str, torch.Tensor]:
    network: Module = trainer.network
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_goes_on_from_a_checkpoint_as_if_uninterrupted(
    recipe: str, network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    through = trainer_of(recipe, network, tmp_path, monkeypatch)
    start = weights(through)
    train(through, 0)
    through.logger.log("ema_fg_dice", 0.0, 0)
    path = tmp_path / "checkpoint_latest.pth"
    through.save_checkpoint(str(path))
    train(through, 1)
    assert all(torch.isfinite(value).all() for value in weights(through).values())
    assert any(not torch.equal(value, start[name]) for name, value in weights(through).items())

    assert read_checkpoint(str(path))["current_epoch"] == 1  # reads plain values only
    resumed = trainer_of(recipe, network, tmp_path, monkeypatch)
    resumed.load_checkpoint(str(path))
    train(resumed, 1)
    torch.testing.assert_close(weights(resumed), weights(through), rtol=0, atol=0)
    torch.testing.assert_close(
        resumed.optimizer.state_dict()["state"], through.optimizer.state_dict()["state"], rtol=0, atol=0
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_scaler_changes_nothing_but_skips_what_overflows(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trainer_of(recipe, "PlainConvUNet", tmp_path, monkeypatch)
    scaled = trainer_of(recipe, "PlainConvUNet", tmp_path, monkeypatch)
    scaled.grad_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for trainer in (plain, scaled):
        train(trainer, 0)
    torch.testing.assert_close(weights(scaled), weights(plain), rtol=1e-4, atol=1e-5)
    before = weights(scaled)
    next(scaled.network.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    scaled.train_step(batches(1)[0])
    assert scaled.grad_scaler.get_scale() == 512
    torch.testing.assert_close(weights(scaled), before, rtol=0, atol=0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_gradients_are_clipped_as_nnunet_does(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(recipe, "PlainConvUNet", tmp_path, monkeypatch)
    loss = trainer.loss
    trainer.loss = lambda output, target: 1e4 * loss(output, target)
    norms = []

    def note(*_: Any) -> None:
        gradients = [p.grad for p in trainer.network.parameters() if p.grad is not None]
        norms.append(float(torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients]))))

    trainer.optimizer.register_step_pre_hook(note)
    train(trainer, 0)
    assert norms == [pytest.approx(12, rel=1e-3)] * 2


def test_muons_rates_warm_up_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of("muon", "Hybrid", tmp_path, monkeypatch)
    trainer.num_epochs, trainer.num_iterations_per_epoch = 1, 20
    trainer.optimizer, trainer.lr_scheduler = trainer.configure_optimizers()
    trainer.on_train_epoch_start()
    rates = []
    for batch in batches(3):
        rates.append([group["lr"] for group in trainer.optimizer.param_groups])
        trainer.train_step(batch)
    assert rates == [pytest.approx([0.5 * 0.0125, 0.5 * 3e-3])] + [pytest.approx([0.0125, 3e-3])] * 2


def test_stock_is_what_nnunets_trainer_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of("stock", "PlainConvUNet", tmp_path, monkeypatch)
    (group,) = trainer.optimizer.param_groups
    assert (type(trainer.optimizer).__name__, group["lr"], group["momentum"]) == ("SGD", 1e-2, 0.99)
    assert (type(trainer).num_epochs, trainer.weight_decay) == (1000, 3e-5)


def test_avagrads_schedule_is_nnunets_over_its_own_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of("avagrad", "PlainConvUNet", tmp_path, monkeypatch)
    trainer.num_epochs = 10
    trainer.optimizer, trainer.lr_scheduler = trainer.configure_optimizers()
    trainer.current_epoch = 5
    trainer.on_train_epoch_start()
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(10 * 0.5**0.9)


def test_avagrad_says_how_often_gradients_were_clipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of("avagrad", "PlainConvUNet", tmp_path, monkeypatch)
    trainer.on_train_epoch_start()
    loss, results = trainer.loss, []
    for factor, batch in zip((1e-3, 1e4, 1e-3, 1e-3), batches(4), strict=True):
        trainer.loss = lambda output, target, factor=factor: factor * loss(output, target)
        results.append(trainer.train_step(batch))
    trainer.on_train_epoch_end(results)
    (log,) = Path(trainer.output_folder).glob("training_log_*.txt")
    assert "gradients clipped in 25% of the iterations" in log.read_text()
