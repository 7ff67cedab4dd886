"""Trained on wrong labels: Dice of predictions, and of the labels in training, against the truth."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from benchmarks.learning.data import folds
from benchmarks.learning.methods import METHODS
from benchmarks.learning.training import Measured
from benchmarks.scanner.cases import READER, dice
from benchmarks.training_for_scanners.data import FOLD, LABELS, prepare_labels
from benchmarks.training_for_scanners.training import predictor, result, train
from nnunetv2_factorizer.adaptation.cleaning.corrected import Corrected
from nnunetv2_factorizer.adaptation.cleaning.trainer import CLEANING_KEY, WORK
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.trainers.nnUNetTrainer_CleanLabels import (
    nnUNetTrainer_CleanLabels,
    nnUNetTrainer_CleanLabelsBlur,
    nnUNetTrainer_CleanLabelsIgnore,
)

ITERATIONS = 500
"""20 epochs: the start rule fits three numbers to the curve of a class, and corrections come every 5 epochs."""
TRUE = "true labels"
TRAINERS: dict[str, Callable[[], type]] = {
    "wrong labels": METHODS["nnU-Net + Muon"].trainer,
    "CleanLabels": lambda: nnUNetTrainer_CleanLabels,
    "CleanLabelsIgnore": lambda: nnUNetTrainer_CleanLabelsIgnore,
    "CleanLabelsBlur": lambda: nnUNetTrainer_CleanLabelsBlur,
    TRUE: METHODS["nnU-Net + Muon"].trainer,
}
ARMS = {f"{data}: {trainer}": (data, trainer) for data in LABELS for trainer in TRAINERS}


class Watched(Measured):
    """Keeps the Dice against the truth of the labels that an epoch is trained on."""

    truth: str
    """The data set with the true labels, preprocessed in the same way."""

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.note_labels()

    def note_labels(self) -> None:
        curve = [*self.label_curve[: self.current_epoch], round(self.dice_of_labels(), 5)]
        with replacing(str(self._label_file)) as unfinished:
            Path(unfinished).write_text(json.dumps(curve), encoding="utf-8")

    def dice_of_labels(self) -> float:
        """Mean over the training cases, in the geometry of the preprocessed images."""
        folder = Path(self.preprocessed_dataset_folder)
        own = Corrected(self.dataset_class(str(folder), self._cases), Path(self.output_folder) / WORK)
        true = self.dataset_class(str(Path(nnUNet_preprocessed) / self.truth / folder.name), self._cases)
        pairs = ([np.asarray(dataset.load_case(case)[1][:])[0] for dataset in (own, true)] for case in self._cases)
        return mean(dice(*pair) for pair in pairs)

    @property
    def _cases(self) -> list[str]:
        return list(folds(self.truth)[FOLD]["train"])

    @property
    def label_curve(self) -> list[float]:
        return json.loads(self._label_file.read_text(encoding="utf-8")) if self._label_file.is_file() else []

    @property
    def _label_file(self) -> Path:
        return Path(self.output_folder) / "label_curve.json"


def prepare_data(arms: list[str]) -> None:
    for data in {ARMS[arm][0] for arm in arms}:
        prepare_labels(data)


def run(arm: str, iterations: int, seed: int) -> dict[str, Any]:
    data, name = ARMS[arm]
    true, plans_name = prepare_labels(data)
    dataset = true if name == TRUE else LABELS[data].wrong
    trainer = train(
        f"cleaning {name}", (Watched, TRAINERS[name]()), dataset, plans_name, iterations, seed, truth=true
    )  # fmt: skip
    trainer.note_labels()  # after the last epoch
    cases = get_filenames_of_train_images_and_targets(str(Path(nnUNet_raw) / true))
    model = predictor(trainer)
    of_cases = [
        dice(model.predict_single_npy_array(*READER.read_images(cases[case]["images"])), _truth(cases[case]["label"]))
        for case in folds(true)[FOLD]["val"]
    ]
    curve = trainer.label_curve
    return {
        **result(trainer, {"Dice": of_cases}, **{"labels as given": curve[0], "labels at the end": curve[-1]}),
        "label_curve": curve,
        "corrected_from_epoch": trainer.my_init_kwargs.get(CLEANING_KEY, {}).get("started", {}),
    }


def _truth(file: str) -> Any:
    return READER.read_seg(file)[0][0]
