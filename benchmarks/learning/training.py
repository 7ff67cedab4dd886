"""One training of the benchmark: nnU-Net's own, cut into epochs of 50 iterations, resumed where it was interrupted."""

import json
import random
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from nnunetv2.paths import nnUNet_preprocessed

from benchmarks.learning.data import DATA, prepare
from benchmarks.learning.methods import METHODS
from benchmarks.measure import device, machine
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.training.attributes import ClassAttributes

ITERATIONS_PER_EPOCH = 50


CLOCK = perf_counter if torch.cuda.is_available() else process_time
"""On a CPU the time of the process: several trainings share the machine."""


class Measured(ClassAttributes):
    """Keeps a curve: iteration, seconds spent in training iterations, nnU-Net's Dice of validation patches."""

    num_iterations_per_epoch = ITERATIONS_PER_EPOCH
    num_val_iterations_per_epoch = 10
    save_every = 1
    seed = 0

    def on_train_epoch_start(self) -> None:
        seed = 10_000 * self.seed + self.current_epoch  # of the epoch: a resumed training draws as an uninterrupted one
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        super().on_train_epoch_start()
        self._start = CLOCK()

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        self._seconds = CLOCK() - self._start
        super().on_train_epoch_end(train_outputs)

    def on_epoch_end(self) -> None:
        dice = float(self.logger.get_value("mean_fg_dice", step=-1))
        curve = [point for point in self.curve if point["epoch"] < self.current_epoch]
        before = curve[-1]["seconds"] if curve else 0.0
        iteration = (self.current_epoch + 1) * self.num_iterations_per_epoch
        point = {"epoch": self.current_epoch, "iteration": iteration, "seconds": round(before + self._seconds, 1)}
        with replacing(str(self._curve_file)) as unfinished:
            Path(unfinished).write_text(json.dumps([*curve, point | {"dice": round(dice, 4)}]), encoding="utf-8")
        super().on_epoch_end()

    @property
    def curve(self) -> list[dict[str, Any]]:
        return json.loads(self._curve_file.read_text(encoding="utf-8")) if self._curve_file.is_file() else []

    @property
    def _curve_file(self) -> Path:
        return Path(self.output_folder) / "curve.json"


def train(method: str, data: str, fold: int, iterations: int, seed: int) -> dict[str, Any]:
    """Trains and validates in this process; everything that the benchmark keeps of it.

    Raises:
        filelock.Timeout: another process is at the same training.
    """
    trainer = make_trainer(method, data, fold, iterations, seed)
    return {
        **{"method": method, "data": data, "fold": fold, "iterations": iterations, "seed": seed},
        **train_and_validate(trainer, METHODS[method].mirroring),
    }


def train_and_validate(trainer: Any, mirroring: bool = True) -> dict[str, Any]:
    """Goes on where the trainer's folder of results is, to the end; what there is to say of any training.

    Raises:
        filelock.Timeout: another process is at it.
    """
    folder = Path(trainer.output_folder)
    with FileLock(folder / "training.lock", timeout=0):
        train_to_end(trainer)
        if not mirroring:
            trainer.inference_allowed_mirroring_axes = None
        trainer.perform_actual_validation()
    summary = json.loads((folder / "validation" / "summary.json").read_text(encoding="utf-8"))
    return {
        **{"batch_size": trainer.batch_size, "machine": machine()},
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "dice": round(summary["foreground_mean"]["Dice"], 5),
        "dice_of_labels": {label: round(metrics["Dice"], 5) for label, metrics in summary["mean"].items()},
        "dice_of_cases": {
            Path(case["prediction_file"]).name.split(".")[0]: _dice(case) for case in summary["metric_per_case"]
        },
        "curve": [{key: value for key, value in point.items() if key != "epoch"} for point in trainer.curve],
    }


def train_to_end(trainer: Any) -> None:
    """Trains as `go_on`; a training that has ended, which was interrupted after that, is loaded."""
    final = Path(trainer.output_folder) / "checkpoint_final.pth"
    if final.is_file():
        trainer.load_checkpoint(str(final))
    else:
        go_on(trainer)


def go_on(trainer: Any) -> None:
    """Trains, from the last checkpoint if there is one."""
    latest = Path(trainer.output_folder) / "checkpoint_latest.pth"
    if latest.is_file():
        trainer.load_checkpoint(str(latest))
    trainer.run_training()


def make_trainer(method: str, data: str, fold: int, iterations: int, seed: int) -> Any:
    """The trainer of one training, not initialised; its folder of results is that of no other training."""
    chosen = METHODS[method]
    dataset, plans_name = prepare(DATA[data], chosen.planner)
    attributes = {"num_epochs": iterations // ITERATIONS_PER_EPOCH, "seed": seed}
    name = f"{file_name(method)}_{iterations}_seed{seed}"  # of the folder of results
    trainer_class = type(name, (Measured, chosen.trainer()), attributes)
    return instantiate(trainer_class, dataset, plans_name, DATA[data].configuration, fold, seed)


def instantiate(
    trainer_class: type, dataset: str, plans_name: str, configuration: str, fold: int | str, seed: int
) -> Any:
    """A trainer as nnU-Net's command makes it, not initialised; weights and all else are drawn from the seed."""
    folder = Path(nnUNet_preprocessed) / dataset
    plans = json.loads((folder / f"{plans_name}.json").read_text(encoding="utf-8"))
    plans["continue_training"] = False  # by this key nnU-Net hands its flag to the trainer
    description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return trainer_class(plans, configuration, fold, description, device())


def _dice(case: dict[str, Any]) -> float:
    """Mean over the labels, as nnU-Net: one that is neither there nor predicted does not count."""
    return round(float(np.nanmean([label["Dice"] for label in case["metrics"].values()])), 5)


def file_name(method: str) -> str:
    """A method's name without characters that are special in a shell or in nnU-Net's folder names."""
    return "".join(c if c.isalnum() else "-" for c in method)
