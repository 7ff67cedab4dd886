"""The trainers of foreign networks: what they build, how they train it, and that prediction needs none of them."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from nnunetv2_factorizer.families import FAMILIES
from nnunetv2_factorizer.training import AdamPolyRecipe, AdamWRecipe, MuonRecipe, StockRecipe
from tests.comparison.small import SMALL
from tests.training.small_trainer import make_batch, make_trainer

AUTHORS: dict[str, tuple[str, str, type, float, float]] = {
    "UNETR": ("UNETR", "Paper", AdamWRecipe, 1e-4, 1e-5),
    "SwinUNETR": ("SwinUNETR", "Paper", AdamWRecipe, 8e-4, 1e-5),
    "MedNeXtS": ("MedNeXt", "S", AdamPolyRecipe, 1e-3, 3e-5),
    "MedNeXtB": ("MedNeXt", "B", AdamPolyRecipe, 1e-3, 3e-5),
    "MedNeXtM": ("MedNeXt", "M", AdamPolyRecipe, 1e-3, 3e-5),
    "MedNeXtL": ("MedNeXt", "L", AdamPolyRecipe, 1e-3, 3e-5),
    "NNFormer": ("NNFormer", "Paper", StockRecipe, 1e-2, 3e-5),
    "TransBTS": ("TransBTS", "Paper", AdamPolyRecipe, 4e-4, 1e-5),
}
"""Family, variant, and of the authors' recipe the class, learning rate and weight decay."""


def trainer_class(network: str, recipe: str = "") -> Any:
    name = f"nnUNetTrainer{network}"
    return getattr(import_module(f"nnunetv2_factorizer.trainers.{name}"), name + recipe)


@pytest.mark.parametrize("network", AUTHORS)
def test_recipes(network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family, variant, recipe, lr, weight_decay = AUTHORS[network]
    for cls, expected in ((trainer_class(network), MuonRecipe), (trainer_class(network, "_AuthorsRecipe"), recipe)):
        assert issubclass(cls, expected)
        assert cls.family is FAMILIES[family]
        assert cls.choices == FAMILIES[family].variants[variant]
        trainer = make_trainer(cls, tmp_path, monkeypatch)
        assert trainer.enable_deep_supervision is FAMILIES[family].network_class.has_deep_supervision
    assert (trainer.initial_lr, trainer.weight_decay) == (lr, weight_decay)


def test_v2() -> None:
    cls = import_module("nnunetv2_factorizer.trainers.nnUNetTrainerSwinUNETR").nnUNetTrainerSwinUNETRV2
    assert cls.choices["use_v2"] is True


@pytest.mark.parametrize(
    ("network", "recipe"),
    [("UNETR", "_AuthorsRecipe"), ("MedNeXtS", ""), ("TransBTS", "_AuthorsRecipe")],
)
def test_trains_on_nnunets_plans_and_predicts_without_a_trainer(
    network: str, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, variant, *_ = AUTHORS[network]
    small = {"choices": {**FAMILIES[family].variants[variant], **SMALL[f"{family} {variant}"]}}
    trainer = make_trainer(type("nnUNetTrainerOfTest", (trainer_class(network, recipe),), small), tmp_path, monkeypatch)
    trainer.initialize()
    trainer.on_train_epoch_start()
    batch = make_batch()
    if not trainer.enable_deep_supervision:
        batch["target"] = batch["target"][0]
    before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
    for _ in range(2):
        trainer.train_step(batch)
    same = [name for name, p in trainer.network.named_parameters() if torch.equal(before[name], p)]
    assert all(name.startswith("decoder.seg_layers.1.") for name in same), "the lowest resolution has no weight"
    trainer.network.eval()
    assert torch.isfinite(torch.tensor(trainer.validation_step(batch)["loss"]))

    architecture = trainer.architecture_of(trainer.configuration_manager)
    alone = get_network_from_plans(
        architecture["network_class_name"], architecture["arch_kwargs"], architecture["_kw_requires_import"], 2, 2,
        deep_supervision=False,
    )  # fmt: skip
    alone.load_state_dict(trainer.network.state_dict())
    trainer.set_deep_supervision_enabled(False)
    with torch.no_grad():
        torch.testing.assert_close(alone.eval()(batch["data"]), trainer.network(batch["data"]))
