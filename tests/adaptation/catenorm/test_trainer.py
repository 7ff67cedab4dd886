"""Trainers of CateNorm: two updates an iteration, what stock nnU-Net builds, controls, and what is refused."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.adaptation.catenorm.trainer import CateNorm
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.training import MuonRecipe, SGDRecipe
from nnunetv2_factorizer.training.bare import bare
from tests.adaptation.models import batch_of, log_of, make, plans_in, save
from tests.pretraining.labelled import write_dataset
from tests.training.networks import plans_of
from tests.training.small_trainer import DATASET, dataset_json, make_batch
from tests.training.test_trainers import find


def begun(
    network: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: Any = SGDRecipe,
    num_axes: int = 3,
    **attributes: Any,
) -> Any:
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(folder / kind))
    the_plans = plans_in(num_axes, network)
    if not (folder / "preprocessed").exists():
        write_dataset(folder / "preprocessed", DATASET, channels=2, cases=2, the_plans=the_plans)
    cls = type("nnUNetTrainerTest_CateNorm", (CateNorm, recipe), {"plain_share": 0.0, **attributes})
    torch.manual_seed(1)
    trainer = make(cls, folder, DATASET, the_plans, attributes.pop("description", dataset_json()))
    trainer.initialize()
    trainer.on_train_epoch_start()
    return trainer


@pytest.mark.parametrize("network", ["PlainConvUNet", "Conv"])
def test_an_iteration_is_two_plain_updates(network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun(network, tmp_path, monkeypatch)
    copy: Any = deepcopy(bare(trainer.network))
    rate = trainer.optimizer.param_groups[0]["lr"]
    optimizer = torch.optim.SGD(copy.parameters(), rate, 0.99, weight_decay=3e-5, nesterov=True)

    def step(outputs: list[torch.Tensor]) -> None:
        trainer.loss(outputs, batch["target"]).backward()
        torch.nn.utils.clip_grad_norm_(copy.parameters(), 12)
        optimizer.step()
        optimizer.zero_grad()

    updates: list[set[str]] = []
    parameters = dict(trainer.network.named_parameters())
    trainer.optimizer.register_step_pre_hook(
        lambda *_: updates.append({name for name, p in parameters.items() if p.grad is not None})
    )
    for iteration in range(2):
        batch = make_batch()
        outputs = copy(batch["data"])
        mask = outputs[0].detach().softmax(1)
        step(outputs)
        with copy.conditioned(mask):
            step(copy(batch["data"]))
        trainer.train_step(batch)
        if iteration == 0:  # the next one has another learning rate
            expected = dict(copy.named_parameters())
            assert all(torch.equal(p, expected[name]) for name, p in parameters.items())
    first, second = updates[:2]
    for_mask = {name for name in parameters if name.rsplit(".", 2)[-2] in ("hidden", "gamma", "beta")}
    of_norms = {name for name in parameters if ".plain." in name}
    assert for_mask
    assert of_norms
    assert not first & for_mask
    assert of_norms <= first
    assert for_mask <= second
    assert not second & of_norms
    assert len(updates) == 4
    assert trainer.lr_scheduler.last_epoch == 2  # iterations
    assert trainer._iteration == 2


def test_the_first_pass_comes_alone_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun("PlainConvUNet", tmp_path, monkeypatch, plain_share=0.5)
    trainer.num_epochs = 4
    assert "not compiled" in log_of(trainer)
    start = deepcopy(bare(trainer.network).state_dict())
    for epoch, moved in ((0, False), (1, False), (2, True)):
        trainer.current_epoch = epoch
        trainer.on_train_epoch_start()
        trainer.train_step(make_batch())
        now = bare(trainer.network).state_dict()
        gammas = [name for name in start if ".gamma.weight" in name]
        assert any(not torch.equal(now[name], start[name]) for name in gammas) is moved
        assert not torch.equal(now["body.decoder.seg_layers.1.weight"], start["body.decoder.seg_layers.1.weight"])


@pytest.mark.parametrize(("network", "num_axes"), [("PlainConvUNet", 2), ("ResidualEncoderUNet", 3), ("Hybrid", 3)])
def test_stock_nnunet_builds_a_network_that_makes_both_passes(
    network: str, num_axes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = begun(network, tmp_path, monkeypatch, MuonRecipe, num_axes)
    batch = batch_of(num_axes)
    for _ in range(2):
        trainer.train_step(batch)
    save(trainer, tmp_path / "checkpoint_final.pth")
    checkpoint = torch.load(tmp_path / "checkpoint_final.pth", weights_only=True)
    plans = PlansManager({**plans_in(num_axes, network), "dataset_name": DATASET})
    built: Any = type(trainer).build_network_architecture(plans, plans.get_configuration("3d_fullres"), 2, 2, False)
    built.load_state_dict(checkpoint["network_weights"])
    trainer.network.eval()
    trainer.set_deep_supervision_enabled(False)
    with torch.inference_mode():
        prediction = built.eval()(batch["data"])
        assert torch.equal(prediction, trainer.network(batch["data"]))
        assert not torch.equal(prediction, built.body(batch["data"]))
    other = begun(network, tmp_path, monkeypatch, MuonRecipe, num_axes)
    other.load_checkpoint(str(tmp_path / "checkpoint_final.pth"))
    assert all(torch.equal(a, b) for a, b in zip(other.network.parameters(), trainer.network.parameters(), strict=True))


@pytest.mark.parametrize(("mask", "passes"), [("predicted", 2), ("shuffled", 2), ("true", 1)])
def test_controls(mask: str, passes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun("PlainConvUNet", tmp_path, monkeypatch, mask=mask)
    network, batch = bare(trainer.network), make_batch()
    batch["target"][0][0, :, 0] = 2  # beyond the classes, as an ignore label
    seen: list[Any] = []
    network.body.register_forward_hook(lambda *_: seen.append(network.condition.at((8, 16, 16))))
    truth = trainer._true_mask(batch)
    assert truth.shape == (2, 2, 8, 16, 16)
    assert torch.equal(truth[:, 1], (batch["target"][0][:, 0] == 1).float())
    assert truth[0, :, 0].sum() == 0
    batch = make_batch()
    trainer.train_step(batch)
    assert seen[0] is None
    assert torch.equal(seen[1], trainer._true_mask(batch)) is (mask == "true")
    seen.clear()
    trainer.network.eval()
    with torch.no_grad():
        trainer.validation_step(batch)
        assert len(seen) == passes
        assert torch.equal(seen[-1], trainer._true_mask(batch)) is (mask == "true")
        trainer.network(batch["data"])
    assert len(seen) == passes + 2  # without labels the mask is the predicted one


def test_what_cannot_be_trained_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = begun("PlainConvUNet", tmp_path, monkeypatch)
    trainer.was_initialized, trainer.is_ddp = False, True
    with pytest.raises(UserError, match=r"(?s)several GPUs .*Leave -num_gpus out"):
        trainer.initialize()
    regions = dataset_json() | {
        "labels": {"background": 0, "whole": [1, 2], "core": [2]},
        "regions_class_order": [1, 2],
    }
    (tmp_path / "preprocessed" / DATASET / "dataset.json").write_text(json.dumps(regions))
    cls = type(trainer)
    with pytest.raises(UserError, match=r"are regions .* has one class a voxel"):
        make(cls, tmp_path, DATASET, plans_of("PlainConvUNet"), regions).initialize()


def test_trainers_are_found_by_name() -> None:
    for name in ("nnUNetTrainer_CateNorm", "nnUNetTrainerHybridFactorizer_CateNorm"):
        assert (find(name).num_epochs, find(name).mask, find(f"{name}_50epochs").num_epochs) == (250, "predicted", 50)
    assert find("nnUNetTrainer_CateNormShuffled").mask == "shuffled"
    assert find("nnUNetTrainer_CateNormOracle").mask == "true"
