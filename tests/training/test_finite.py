"""A loss that is not finite stops the training with its place and its cases, and changes nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.trainers.nnUNetTrainerConvFactorizer import nnUNetTrainerConvFactorizer
from nnunetv2_factorizer.training.finite import MOST_SKIPPED_STEPS, first_non_finite_layer
from tests.training.small_trainer import make_batch, make_trainer


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """At the second iteration of epoch 1."""
    trainer = make_trainer(nnUNetTrainerConvFactorizer, tmp_path, monkeypatch)
    trainer.initialize()
    trainer.current_epoch = 1
    trainer.on_train_epoch_start()
    trainer.train_step(make_batch())
    return trainer


def assert_stops(trainer: Any, batch: dict[str, Any], message: str) -> None:
    """The step raises `message`, and neither weights nor the optimiser are touched."""
    before = {name: weight.clone() for name, weight in trainer.network.state_dict().items()}
    steps = {int(state["step"]) for state in trainer.optimizer.state.values()}
    with pytest.raises(UserError, match=message):
        trainer.train_step(batch)
    for name, weight in trainer.network.state_dict().items():
        assert torch.equal(weight.nan_to_num(), before[name].nan_to_num()), name
    assert {int(state["step"]) for state in trainer.optimizer.state.values()} == steps


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_images_that_are_not_finite_are_named(trainer: Any, value: float) -> None:
    batch = make_batch()
    batch["data"][1, 0, 3, 4, 5] = value
    expected = r"^the loss is nan in epoch 1, iteration 1: images with NaN or infinite voxels: case_b \(channel 0\)\.\n"
    assert_stops(trainer, batch, expected)


def test_the_first_layer_is_named_with_the_cases(trainer: Any) -> None:
    block = trainer.network.encoder.stages[1][0]
    block.register_forward_hook(lambda _module, _inputs, output: output / 0)
    assert_stops(
        trainer,
        make_batch(),
        r"iteration 1 \(cases case_a, case_b\): the first layer that is not finite is encoder\.stages\.1\.0 "
        r"\(FactorizerBlock\)\.\nNo weights were changed by this step.*--c continues from the last checkpoint",
    )
    assert not any(len(module._forward_hooks) for module in trainer.network.modules() if module is not block)


def test_weights_that_are_not_finite_are_named(trainer: Any) -> None:
    nn.init.constant_(trainer.network.decoder.adapters[0].weight, float("inf"))
    assert_stops(
        trainer, make_batch(), r"the weights decoder\.adapters\.0\.weight are not finite since an earlier step"
    )


def test_a_loss_that_is_not_finite_by_itself(trainer: Any) -> None:
    trainer.loss.loss.weight_dice = float("inf")
    assert_stops(trainer, make_batch(), "every layer is finite, the loss is not")


def test_validation_stops_as_well(trainer: Any) -> None:
    trainer.on_validation_epoch_start()
    batch = make_batch()
    batch["data"][0, 1] = float("nan")
    with (
        torch.no_grad(),
        pytest.raises(UserError, match=r"the validation of epoch 1: .* case_a \(channel 1\)"),
    ):
        trainer.validation_step(batch)


def test_a_finite_network_has_no_such_layer() -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 1), nn.ReLU())
    assert first_non_finite_layer(network, torch.randn(1, 1, 4, 4, 4)) is None
    nn.init.constant_(network[0].bias, float("nan"))
    assert first_non_finite_layer(network, torch.randn(1, 1, 4, 4, 4)) == "0 (Conv3d)"


@pytest.fixture
def scaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """With a GradScaler, as nnU-Net has one on a GPU."""
    trainer = make_trainer(nnUNetTrainerConvFactorizer, tmp_path, monkeypatch)
    trainer.grad_scaler = torch.amp.GradScaler("cpu")
    trainer.num_iterations_per_epoch = 100
    trainer.initialize()
    trainer.on_train_epoch_start()
    return trainer


def bad_batch() -> dict[str, Any]:
    batch = make_batch()
    batch["data"][1, 0, 3, 4, 5] = float("nan")
    return batch


def test_a_step_that_a_scaler_skips_does_not_stop_the_training(scaled: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        for _ in range(MOST_SKIPPED_STEPS - 1):
            before = {name: weight.clone() for name, weight in scaled.network.state_dict().items()}
            scaled.train_step(bad_batch())
            assert all(torch.equal(weight, before[name]) for name, weight in scaled.network.state_dict().items())
        assert "(cases case_a, case_b): the weights stay as they were." in capsys.readouterr().out
        scaled.grad_scaler.update(1.0)  # the scale has gone down with every step
        scaled.train_step(make_batch())  # and the count begins again
        assert not all(torch.equal(weight, before[name]) for name, weight in scaled.network.state_dict().items())


def test_several_skipped_steps_in_a_row_stop_it_with_the_cause(scaled: Any) -> None:
    for _ in range(MOST_SKIPPED_STEPS - 1):
        scaled.train_step(bad_batch())
    assert_stops(scaled, bad_batch(), r"images with NaN or infinite voxels: case_b \(channel 0\)\.\nMend these images")


def test_a_validation_that_is_not_finite_is_told(scaled: Any, capsys: pytest.CaptureFixture[str]) -> None:
    scaled.on_validation_epoch_start()
    with torch.no_grad():
        scaled.validation_step(bad_batch())
    assert "The loss is nan in the validation of epoch 0 (cases case_a, case_b)" in capsys.readouterr().out


def test_under_a_scaler_nothing_looks_at_the_loss_before_the_backward_pass(scaled: Any) -> None:
    """It would wait for the GPU; nnU-Net waits for the loss after the step anyway."""
    assert not scaled.loss._forward_hooks
