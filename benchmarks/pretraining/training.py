"""One run of the benchmark: the pre-trainings of an arm, then a training with few labels from what they left."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from filelock import FileLock

from benchmarks.learning.data import prepare
from benchmarks.learning.training import (
    ITERATIONS_PER_EPOCH,
    Measured,
    file_name,
    go_on,
    instantiate,
    train_and_validate,
)
from benchmarks.pretraining.arms import ARMS, Stage
from benchmarks.pretraining.images import ARCHIVE, FOLD, TARGET, Noise
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.pretraining.export import PRETRAINED
from nnunetv2_factorizer.pretraining.finetuning import VARIABLE, Finetuning
from nnunetv2_factorizer.pretraining.trainer import Pretraining
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe
from nnunetv2_factorizer.training.attributes import ClassAttributes


class _Hybrid(FamilyTrainer, MuonRecipe):
    """The network of all arms."""

    family = FACTORIZER
    choices: ClassVar[Mapping[str, Any]] = FACTORIZER.variants["Hybrid"]


class FewLabels(ClassAttributes):
    """Trains on some of the fold's training cases, drawn for each selection; validates on all of its others."""

    cases = 0
    selection = 0

    def do_split(self) -> tuple[list[str], list[str]]:
        training, validation = super().do_split()
        generator = np.random.default_rng(self.selection)
        return sorted(generator.permutation(sorted(training))[: self.cases].tolist()), validation


class _OnNoise(Pretraining):
    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        training, validation = super().get_tr_and_val_datasets()
        return Noise(training), Noise(validation)


def run(arm: str, cases: int, selection: int, iterations: int, pretraining_iterations: int) -> dict[str, Any]:
    """Pre-trains what is not there yet, trains, validates; everything that the benchmark keeps.

    Raises:
        filelock.Timeout: another process is at the same training.
    """
    chosen, checkpoint = ARMS[arm], None
    for stage in chosen.stages:
        checkpoint = _pretrained(stage, pretraining_iterations, checkpoint)
    if chosen.longer:
        iterations += pretraining_iterations
    name = f"{file_name(arm)}_{cases}cases{selection}_{iterations}"
    attributes = {
        **{"num_epochs": iterations // ITERATIONS_PER_EPOCH, "cases": cases, "selection": selection},
        **({"lr_share": chosen.lr_share} if checkpoint else {}),
    }
    bases = (Measured, FewLabels, *((Finetuning,) if checkpoint else ()), _Hybrid)
    _start_from(checkpoint)
    dataset, plans_name = prepare(TARGET)
    trainer = instantiate(type(name, bases, attributes), dataset, plans_name, TARGET.configuration, FOLD, selection)
    seconds = torch.load(checkpoint, weights_only=True)["pretraining_seconds"] if checkpoint else 0.0
    return {
        **{"arm": arm, "cases": cases, "selection": selection, "iterations": iterations},
        **{"pretraining_iterations": pretraining_iterations, "pretraining_seconds": seconds},
        **train_and_validate(trainer, mirroring=False),
    }


def _pretrained(stage: Stage, iterations: int, before: Path | None) -> Path:
    """The checkpoint of a pre-training, which goes on from the one before; other processes wait for it."""
    name = f"Pretrain{stage.task.__name__}_{stage.images}_{iterations}{'_chained' if before else ''}"
    on = _OnNoise if stage.images == "noise" else Pretraining
    attributes = {
        **{"task": stage.task, "num_epochs": iterations // ITERATIONS_PER_EPOCH, "save_every": 1},
        **{"num_iterations_per_epoch": ITERATIONS_PER_EPOCH, "num_val_iterations_per_epoch": 10},
    }
    dataset, plans_name = prepare(TARGET)
    fold: int | str = FOLD
    if stage.images == "foreign":
        dataset, fold = ARCHIVE, "all"
    _start_from(before)
    trainer_class = type(name, (on, _Hybrid), attributes)
    trainer = instantiate(trainer_class, dataset, plans_name, TARGET.configuration, fold, 0)
    folder = Path(trainer.output_folder)
    with FileLock(folder / "training.lock"):
        if not (folder / PRETRAINED).is_file():
            go_on(trainer)
    return folder / PRETRAINED


def _start_from(checkpoint: Path | None) -> None:
    """The variable by which pre-training and fine-tuning are told their weights."""
    os.environ.pop(VARIABLE, None)
    if checkpoint is not None:
        os.environ[VARIABLE] = str(checkpoint)
