"""A training that is stopped and goes on, is validated again, or starts from the weights of another."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_factorizer.training.schedule import peak_learning_rate, warmup_cosine
from tests.end_to_end.conftest import SWIN
from tests.end_to_end.workspace import Workspace, checkpoint

MUON = "nnUNetTrainerShortMuon"


@pytest.fixture(scope="module")
def resumed(phantom: Workspace) -> Path:
    """The training of `trained` again, killed after one epoch and continued."""
    workspace = phantom.with_results("results_resumed")
    command = ("nnUNetv2_train", workspace.dataset_id, "3d_fullres", "0", "-tr", SWIN, "-device", "cpu")
    killed = workspace.run(*command, check=False, STOP_AFTER_EPOCHS="1")
    assert killed.returncode == 3, killed.stderr[-2000:]
    assert (workspace.fold(SWIN) / "checkpoint_latest.pth").exists()
    return workspace.train(SWIN, "--c", SKIP_VALIDATION="1")


def test_resumed_training_ends_exactly_like_an_uninterrupted_one(trained: Path, resumed: Path) -> None:
    expected, actual = comparable(checkpoint(trained)), comparable(checkpoint(resumed))
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_nnunets_own_network_with_muon_goes_on_exactly_and_predicts(phantom: Workspace) -> None:
    through = phantom.with_results("results_muon").train(MUON, configuration="2d")
    workspace = phantom.with_results("results_muon_resumed")
    command = ("nnUNetv2_train", workspace.dataset_id, "2d", "0", "-tr", MUON, "-device", "cpu")
    killed = workspace.run(*command, check=False, STOP_AFTER_EPOCHS="1")
    assert killed.returncode == 3, killed.stderr[-2000:]
    resumed = workspace.train(MUON, "--c", configuration="2d", SKIP_VALIDATION="1")
    torch.testing.assert_close(comparable(checkpoint(resumed)), comparable(checkpoint(through)), rtol=0, atol=0)
    output = workspace.predict(MUON, "predicted_muon", configuration="2d")
    assert set(workspace.evaluate(output)) == {"1", "2"}


def comparable(state: dict[str, Any]) -> dict[str, Any]:
    """What is in a checkpoint without the clock and the settings of the trainer.

    Nor `_best_ema`: nnU-Net writes `checkpoint_latest.pth` before it sets that, so a resumed one has an older value.
    """
    log = {key: value for key, value in state["logging"].items() if not key.endswith("_timestamps")}
    names = ("network_weights", "optimizer_state", "current_epoch")
    return {name: state[name] for name in names} | {"logging": log}


def test_every_step_is_made_once_at_its_learning_rate(resumed: Path) -> None:
    final = checkpoint(resumed)
    assert final["current_epoch"] == 2
    assert {int(state["step"]) for state in final["optimizer_state"]["state"].values()} == {4}
    assert final["logging"]["lrs"] == [peak_learning_rate(4) * warmup_cosine(step, 4) for step in (0, 2)]
    assert final["optimizer_state"]["param_groups"][0]["lr"] == peak_learning_rate(4) * warmup_cosine(4, 4)
    assert not (resumed / "checkpoint_latest.pth").exists()


def test_validation_again_gives_the_same(phantom: Workspace, trained: Path) -> None:
    path = trained / "validation" / "summary.json"
    before = json.loads(path.read_text())
    path.unlink()
    phantom.train(SWIN, "--val")
    assert json.loads(path.read_text())["mean"] == before["mean"]


def test_pretrained_weights_are_all_taken_but_the_heads(phantom: Workspace, trained: Path) -> None:
    workspace = phantom.with_results("results_pretrained")
    file = str(trained / "checkpoint_final.pth")
    fold = workspace.train(SWIN, "-pretrained_weights", file, SKIP_VALIDATION="1")
    pretrained = checkpoint(trained)["network_weights"]
    start = checkpoint(fold, "checkpoint_start.pth")["network_weights"]
    fresh = checkpoint(trained, "checkpoint_start.pth")["network_weights"]
    assert start.keys() == pretrained.keys()
    for key, weight in start.items():
        assert torch.equal(weight, (fresh if ".seg_layers." in key else pretrained)[key]), key


def test_finetuning_keeps_the_weights_frozen_goes_on_and_predicts(phantom: Workspace, trained: Path) -> None:
    """The variable is needed at the start alone; the first of the two epochs moves the heads only."""
    trainer = f"{SWIN}_Finetune"
    workspace = phantom.with_results("results_finetuned")
    command = ("nnUNetv2_train", workspace.dataset_id, "3d_fullres", "0", "-tr", trainer, "-device", "cpu")
    refused = workspace.run(*command, check=False)
    assert refused.returncode != 0
    assert "no pre-trained weights were given" in refused.stderr
    given = {"nnUNet_pretrained_checkpoint": str(trained / "checkpoint_final.pth")}
    killed = workspace.run(*command, check=False, STOP_AFTER_EPOCHS="1", **given)
    assert killed.returncode == 3, killed.stderr[-2000:]
    pretrained = checkpoint(trained)["network_weights"]
    frozen = checkpoint(workspace.fold(trainer), "checkpoint_latest.pth")["network_weights"]
    assert all(torch.equal(weight, pretrained[key]) for key, weight in frozen.items() if ".seg_layers." not in key)
    fold = workspace.train(trainer, "--c", SKIP_VALIDATION="1")
    final = checkpoint(fold)["network_weights"]
    assert not torch.equal(final["encoder.stem.weight"], pretrained["encoder.stem.weight"])
    output = workspace.predict(trainer, "predicted_finetuned")
    assert set(workspace.evaluate(output)) == {"1", "2"}
