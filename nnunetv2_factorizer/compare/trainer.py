"""nnU-Net's own training, for a budget: a mix-in that is put before a trainer when a comparison runs it."""

import json
import random
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_factorizer.compare.budget import Schedule
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.checkpoint import PLAIN_TYPES
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.training import Guard

CURVE = "curve.json"
WARM_UP_SHARE = 0.05
"""nnU-Net's own warm-up, where a trainer has one: 50 of 1000 epochs."""


class Budgeted(Guard):
    """Put first among the bases. Trains by a schedule into a folder, and keeps the curve of Dice over seconds."""

    folder: ClassVar[Path]
    """Of the model; the fold lies in it."""
    schedule: ClassVar[Schedule]

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        # Last, and not as class attributes: nnU-Net's variants set their length in their constructors.
        self.num_epochs = self.schedule.epochs
        self.num_iterations_per_epoch = self.schedule.iterations
        self.num_val_iterations_per_epoch = self.schedule.validations
        self.save_every = 1
        if hasattr(self, "warmup_duration_whole_net"):
            self.warmup_duration_whole_net = max(1, round(WARM_UP_SHARE * self.num_epochs))

    @property
    def output_folder_base(self) -> str:
        """In place of the one that nnU-Net makes of its variable for results."""
        return str(self.folder)

    @output_folder_base.setter
    def output_folder_base(self, _: Any) -> None: ...

    @property
    def curve(self) -> list[dict[str, float]]:
        """A point an epoch: iterations and seconds of training up to it, nnU-Net's Dice of validation patches."""
        path = Path(self.output_folder) / CURVE
        return read_json(path) if path.is_file() else []

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        with torch.serialization.safe_globals(PLAIN_TYPES):  # nnU-Net 2.8's Primus cannot read its own checkpoints
            super().load_checkpoint(filename_or_checkpoint)

    def on_train_epoch_start(self) -> None:
        random.seed(self.current_epoch)  # of the epoch: a training that goes on draws as one that was not interrupted
        np.random.seed(self.current_epoch)
        torch.manual_seed(self.current_epoch)
        super().on_train_epoch_start()
        self._start = perf_counter()

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        self._seconds = perf_counter() - self._start
        super().on_train_epoch_end(train_outputs)

    def on_epoch_end(self) -> None:
        curve = self.curve[: self.current_epoch]
        point = {
            "iterations": (self.current_epoch + 1) * self.num_iterations_per_epoch,
            "seconds": (curve[-1]["seconds"] if curve else 0.0) + self._seconds,
            "dice": float(self.logger.get_value("mean_fg_dice", step=-1)),
        }
        with replacing(str(Path(self.output_folder) / CURVE)) as unfinished:
            Path(unfinished).write_text(json.dumps([*curve, point]), encoding="utf-8")
        super().on_epoch_end()


def make_trainer(
    base: type[nnUNetTrainer],
    folder: Path,
    schedule: Schedule,
    plans: dict[str, Any],
    configuration: str,
    fold: int,
    dataset_json: dict[str, Any],
    device: torch.device,
) -> Any:
    """A trainer as nnU-Net's command makes it, not initialised; its weights are drawn from the same seed every time.

    Its class has the name of `base`, so that checkpoints are those of that trainer.
    """
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    budgeted = type(base.__name__, (Budgeted, base), {"folder": folder, "schedule": schedule})
    given = json.loads(json.dumps(plans)) | {"continue_training": False}  # nnU-Net's way to hand its flag over
    return budgeted(given, configuration, fold, dataset_json, device)
