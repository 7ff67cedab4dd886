"""A pre-training's folder as a model whose features are looked at: its encoder, and not the heads of its task."""

import json
from pathlib import Path

import pytest
import torch

from nnunetv2_factorizer.concepts.stages import select_stage
from nnunetv2_factorizer.inference.model import load_model
from nnunetv2_factorizer.models.folders import FINAL, PRETRAINED, without_task
from nnunetv2_factorizer.pretraining.export import write_pretrained
from nnunetv2_factorizer.trainers.nnUNetTrainer_PretrainMAE import nnUNetTrainer_PretrainMAE
from tests.training.networks import NETWORKS, plans_of
from tests.training.small_trainer import PATCH, dataset_json, make_trainer


@pytest.mark.parametrize("network", NETWORKS)
def test_the_features_are_those_of_the_encoder(network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(nnUNetTrainer_PretrainMAE, tmp_path, monkeypatch, the_plans=plans_of(network))
    trainer.initialize()
    folder = tmp_path / "model"
    (folder / "fold_all").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(trainer.plans_manager.plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_json()))
    assert without_task(folder, "all", FINAL) == FINAL  # not finished
    write_pretrained(folder / "fold_all", trainer._pretrained())
    assert without_task(folder, "all", FINAL) == PRETRAINED
    assert without_task(folder, "all", "checkpoint_best.pth") == "checkpoint_best.pth"
    predictor = load_model(folder, ("all",), PRETRAINED, torch.device("cpu"))
    assert predictor.trainer_name == "nnUNetTrainer_PretrainMAE"
    stage = select_stage(predictor)
    x = torch.randn(1, 2, *PATCH)
    with torch.no_grad():
        expected = trainer.network.body.eval().encoder(x)[int(stage.name[-1])]
        found = predictor.network.eval().encoder(x)[int(stage.name[-1])]
    assert torch.equal(found, expected)
    assert found.shape[2:] == tuple(size // cells for size, cells in zip(PATCH, stage.position, strict=True))
