"""What every method does, and what moves: all, the first layers, or all on a leash."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_factorizer.adaptation.methods import L2SP, METHODS, All, FirstLayers
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.checkpoint import read_checkpoint
from nnunetv2_factorizer.pretraining.finetuning import VARIABLE
from nnunetv2_factorizer.training import MuonRecipe, SGDRecipe
from tests.adaptation.models import TARGET, adapting, batch_of, began, log_of, plans_in, save, weights, write_model
from tests.training.networks import NETWORKS, plans_of
from tests.training.small_trainer import dataset_json, make_batch
from tests.training.test_trainers import find

WITHOUT_SOURCE_DATA = [name for name in METHODS if name != "mmtl"]
OTHER_LABELS = dataset_json() | {"labels": {"background": 0, "tumour": 1}}


@pytest.mark.parametrize("num_axes", [2, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_method_starts_from_the_whole_model_and_makes_a_step(
    network: str, num_axes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    the_plans = plans_in(num_axes, network)
    source = read_checkpoint(str(write_model(tmp_path, monkeypatch, the_plans)))["network_weights"]
    for name in WITHOUT_SOURCE_DATA if num_axes == 3 else ("first_layers", "octl"):
        trainer = began(adapting(METHODS[name], tmp_path, the_plans))
        start = weights(trainer)
        assert all(torch.equal(p, source[key]) for key, p in start.items()), name  # heads, too
        trainer.train_step(batch_of(num_axes))
        trainer.on_train_epoch_end([{"loss": 1.0}])
        moved = {key for key, p in weights(trainer).items() if not torch.equal(p, start[key])}
        first = {key for key in start if key.startswith(("encoder.stem.", "encoder.stages.0."))}
        assert moved <= first if name == "first_layers" else "encoder.stages.1" in "".join(moved), name
        assert moved & first, name


def test_another_stage_of_the_encoder_moves_where_it_shall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, monkeypatch, plans_of("Conv"))
    two = type("TwoStages", (FirstLayers,), {"stages": 2})
    trainer = began(adapting(two, tmp_path, plans_of("Conv")))
    start = weights(trainer)
    trainer.train_step(make_batch())
    moved = {key for key, p in weights(trainer).items() if not torch.equal(p, start[key])}
    parts = {".".join(key.split(".")[:3]) for key in moved if "stem" not in key}
    assert parts == {"encoder.stages.0", "encoder.downsamplings.0", "encoder.stages.1"}
    assert f"{sum(start[key].numel() for key in moved):,} of" in log_of(trainer)


def test_a_network_of_which_the_first_layers_are_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, monkeypatch, plans_of("Conv"))
    trainer = adapting(FirstLayers, tmp_path, plans_of("Conv"))
    trainer.initialize()
    pretrained = {f"other.{name}": p for name, p in trainer.pretrained().items()}
    monkeypatch.setattr(trainer, "pretrained", lambda: pretrained)
    with pytest.raises(UserError, match=r"Factorizer has no parameter named encoder\.stem"):
        trainer.on_train_epoch_start()


def test_heads_of_other_labels_are_new_and_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where their shape is the same: the labels mean something else."""
    source = read_checkpoint(str(write_model(tmp_path, monkeypatch, plans_of("Conv"))))["network_weights"]
    (tmp_path / "preprocessed" / TARGET / "dataset.json").write_text(json.dumps(OTHER_LABELS))
    for method in (FirstLayers, L2SP, METHODS["octl"]):
        trainer = began(adapting(method, tmp_path, plans_of("Conv"), description=OTHER_LABELS))
        start = weights(trainer)
        heads = [name for name in start if "seg_layers.1" in name]
        assert not any(torch.equal(start[name], source[name]) for name in heads if "weight" in name)
        assert not any(trainer.optimizer.state[p] for n, p in trainer.network.named_parameters() if n in heads)
        trainer.train_step(make_batch())
        assert all(not torch.equal(p, start[name]) for name, p in weights(trainer).items() if name in heads)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("recipe", [MuonRecipe, SGDRecipe])
def test_l2sp_has_the_gradient_of_its_formula(
    recipe: Any, scaled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path, monkeypatch, plans_of("PlainConvUNet"))
    trainer = began(adapting(type("Strong", (L2SP,), {"a": 0.3}), tmp_path, plans_of("PlainConvUNet"), recipe))
    source = weights(trainer)
    with torch.no_grad():
        for p in trainer.network.parameters():
            p.add_(0.1 * torch.randn_like(p))
    batch, named = make_batch(), dict(trainer.network.named_parameters())
    loss = trainer.loss(trainer.network(batch["data"]), batch["target"])
    penalty = sum(((p - source[name]) ** 2).sum() for name, p in named.items())
    expected = torch.autograd.grad(loss + 0.3 * penalty, list(named.values()), allow_unused=True)
    if scaled:
        trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    trainer.train_step(batch)
    for p, gradient in zip(named.values(), expected, strict=True):
        if p.grad is not None:  # the head without a loss has none
            torch.testing.assert_close(p.grad, gradient, rtol=1e-3, atol=1e-5)


def test_l2sp_goes_on_with_the_same_anchor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_model(tmp_path, monkeypatch, plans_of("Hybrid"))
    through = began(adapting(L2SP, tmp_path, plans_of("Hybrid")))
    torch.manual_seed(1)
    batches = [make_batch(), make_batch()]
    through.train_step(batches[0])
    save(through, tmp_path / "checkpoint_latest.pth")
    through.current_epoch = 1
    through.on_train_epoch_start()
    through.train_step(batches[1])

    def go_on() -> Any:
        resumed = adapting(L2SP, tmp_path, plans_of("Hybrid"))
        resumed.load_checkpoint(str(tmp_path / "checkpoint_latest.pth"))
        resumed.on_weights_ready()
        resumed.on_train_epoch_start()
        resumed.train_step(batches[1])
        return weights(resumed)

    torch.testing.assert_close(go_on(), weights(through), rtol=0, atol=0)
    moved = file.rename(tmp_path / "moved.pth")
    with pytest.raises(UserError, match=r"is gone or was changed; L2SP needs it to go on") as caught:
        go_on()
    assert VARIABLE in caught.value.remedy
    monkeypatch.setenv(VARIABLE, str(moved))
    torch.testing.assert_close(go_on(), weights(through), rtol=0, atol=0)


def test_without_the_model_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, monkeypatch, plans_of("Conv"))
    trainer = adapting(All, tmp_path, plans_of("Conv"))
    trainer.initialize()
    with torch.no_grad():
        next(trainer.network.parameters()).add_(1)  # what nnU-Net's flag does
    with pytest.raises(UserError, match="-pretrained_weights gives it no heads") as caught:
        trainer.on_train_start()
    assert VARIABLE in caught.value.remedy
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(UserError, match="adapts a trained model, but no checkpoint was given"):
        adapting(All, tmp_path, plans_of("Conv")).on_train_start()


def test_too_few_cases_for_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, monkeypatch, plans_of("Conv"))
    trainer = adapting(All, tmp_path, plans_of("Conv"))
    assert trainer.do_split() == (["case_0"], ["case_0"])
    trainer.fold = 0
    with pytest.raises(UserError, match="has 1 labelled cases, fewer than nnU-Net's 5 folds") as caught:
        trainer.do_split()
    assert "fold all" in caught.value.remedy
    assert not (tmp_path / "preprocessed" / TARGET / "splits_final.json").exists()


@pytest.mark.parametrize(("family", "recipe"), [("", MuonRecipe), ("HybridFactorizer", MuonRecipe), ("SGD", SGDRecipe)])
def test_found_by_name(family: str, recipe: Any) -> None:
    assert find(f"nnUNetTrainer{family}_AdaptMMTL").method.__name__ == "MMTL"
    module = import_module(f"nnunetv2_factorizer.trainers.nnUNetTrainer{family}_Adapt")
    for method in METHODS.values():
        trainer = getattr(module, f"nnUNetTrainer{family}_Adapt{method.__name__}")
        assert trainer.method is method
        assert issubclass(trainer, recipe)
        assert (trainer.num_epochs, trainer.lr_share) == (50, 0.1)
    for method_name in ("All", "MMTL"):
        for epochs in (5, 20):
            assert getattr(module, f"nnUNetTrainer{family}_Adapt{method_name}_{epochs}epochs").num_epochs == epochs


def test_the_hybrid_is_that_of_its_training() -> None:
    hybrid = import_module("nnunetv2_factorizer.trainers.nnUNetTrainerHybridFactorizer")
    adapted = import_module("nnunetv2_factorizer.trainers.nnUNetTrainerHybridFactorizer_Adapt")
    of_both = [hybrid.nnUNetTrainerHybridFactorizer, adapted.nnUNetTrainerHybridFactorizer_AdaptMMTL]
    assert of_both[0].choices is of_both[1].choices
