"""Trainers with an objective on a tiny labelled data set, ready for their first step."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_factorizer.adaptation.objective import Objective
from nnunetv2_factorizer.adaptation.with_objective import WithObjective
from nnunetv2_factorizer.training import MuonRecipe
from tests.adaptation.models import make
from tests.pretraining.labelled import write_dataset
from tests.training.networks import plans_of
from tests.training.small_trainer import DATASET, dataset_json

CASES = 4


def write_data(folder: Path, monkeypatch: pytest.MonkeyPatch, network: str, sites: str | None = None) -> Path:
    """The preprocessed data set, with a site of one letter for each case; gives its folder."""
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(folder / kind))
    base = folder / "preprocessed" / DATASET
    if not base.exists():
        write_dataset(folder / "preprocessed", DATASET, channels=2, cases=CASES, the_plans=plans_of(network))
    if sites is not None:
        metadata = {f"case_{i}": {"site": site, "age": 40 + i} for i, site in enumerate(sites)}
        (base / "case_metadata.json").write_text(json.dumps(metadata))
    return base


def trainer_of(objective: type[Objective], folder: Path, network: str, *bases: Any, **description: Any) -> Any:
    """Not initialised; `bases` come between the objective and the recipe."""
    cls = type("nnUNetTrainerTest_Objective", (WithObjective, *bases, MuonRecipe), {"objective": objective})
    return make(cls, folder, DATASET, plans_of(network), dataset_json() | description)


def begun(
    objective: type[Objective],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    network: str = "PlainConvUNet",
    sites: str | None = None,
    **description: Any,
) -> Any:
    """Before its first batch."""
    base = write_data(folder, monkeypatch, network, sites)
    (base / "dataset.json").write_text(json.dumps(dataset_json() | description))
    torch.manual_seed(1)
    trainer = trainer_of(objective, folder, network, **description)
    trainer.initialize()
    trainer.on_train_epoch_start()
    return trainer
