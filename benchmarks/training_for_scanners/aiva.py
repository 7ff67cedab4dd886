"""A model of scanner A goes on with A labelled and a new scanner unlabelled: Dice on all scanners.

Of the fold's training cases one half, on A, has labels; the other half is what the new scanner has, so that no head is
in both.
"""

import os
from pathlib import Path
from typing import Any

from benchmarks.learning.data import prepare
from benchmarks.learning.methods import METHODS
from benchmarks.training_for_scanners.data import PLANNED, TARGETS, halves, prepare_targets
from benchmarks.training_for_scanners.training import on_scanners, predictor, result, train
from nnunetv2_factorizer.adaptation.target_data import VARIABLE as TARGET
from nnunetv2_factorizer.pretraining.finetuning import VARIABLE as SOURCE
from nnunetv2_factorizer.trainers.nnUNetTrainer_Adapt import nnUNetTrainer_AdaptAll
from nnunetv2_factorizer.trainers.nnUNetTrainer_AIVA import nnUNetTrainer_AIVA, nnUNetTrainer_AIVARandomMatching
from nnunetv2_factorizer.training.attributes import ClassAttributes

ITERATIONS, SOURCE_ITERATIONS = 100, 250
NOTHING = "nothing"
ARMS: dict[str, tuple[type | None, str | None]] = {
    NOTHING: (None, None),
    "A alone": (nnUNetTrainer_AdaptAll, None),
    **{f"AIVA, {scanner}": (nnUNetTrainer_AIVA, scanner) for scanner in TARGETS},
    **{f"random matching, {scanner}": (nnUNetTrainer_AIVARandomMatching, scanner) for scanner in TARGETS},
}
"""The trainer, and the scanner of the images without labels."""


class OneHalf(ClassAttributes):
    """Trains on the labelled half of the fold's training cases."""

    def do_split(self) -> tuple[list[str], list[str]]:
        _, validation = super().do_split()
        return halves()[0], validation


def prepare_data(_: list[str]) -> None:
    prepare_targets()


def run(arm: str, iterations: int, seed: int) -> dict[str, Any]:
    """For `NOTHING` the model as it was."""
    of_source = (OneHalf, METHODS["nnU-Net + Muon"].trainer())
    trainer = train("aiva source", of_source, *prepare(PLANNED), SOURCE_ITERATIONS, seed)
    trainer_class, scanner = ARMS[arm]
    if trainer_class is not None:
        os.environ[SOURCE] = str(Path(trainer.output_folder) / "checkpoint_final.pth")
        if scanner is not None:
            os.environ[TARGET] = TARGETS[scanner]
        trainer = train(f"aiva {arm}", (OneHalf, trainer_class), *prepare(PLANNED), iterations, seed)
    return result(trainer, on_scanners(predictor(trainer)))
