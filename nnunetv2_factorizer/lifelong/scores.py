"""The stage-by-stage matrix of Dice: `scores.json` in the pool, a cell as soon as it is measured.

Before stage i is trained, the pool segments held-out cases of stage i; after it, those of all stages so far. So the
matrix has its lower triangle and the cells right of the diagonal, which is all that Dice, BWT and FWT need.
"""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from nnunetv2.evaluation.evaluate_predictions import compute_metrics
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.images import Case
from nnunetv2_factorizer.lifelong.pool import Pool
from nnunetv2_factorizer.lifelong.prediction import predict_cases, take_cases
from nnunetv2_factorizer.lifelong.stage import StageData, cases_of, preprocessed_base
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json

FILE = "scores.json"

Cell = dict[str, float]
"""Dice of each case, the mean over its labels."""
Measure = Callable[[StageData], Cell]


def read_scores(folder: Path) -> dict[str, dict[str, Cell]]:
    """By the number of the latest stage and the name of the data set."""
    path = folder / FILE
    return read_json(path) if path.is_file() else {}


def fill(folder: Path, row: int, stages: list[StageData], measure: Measure) -> None:
    """Measures the cells of a row that are not there yet. A stage whose images are gone is left out, and told."""
    scores = read_scores(folder)
    of_row = scores.setdefault(str(row), {})
    for data in stages:
        if data.dataset in of_row:
            continue
        try:
            cell = measure(data)
        except UserError as error:
            print(f"Not measured after stage {row + 1}, {data.dataset}: {error.cause}")
            continue
        if not cell:
            print(f"Not measured after stage {row + 1}, {data.dataset}: fold {data.fold} has no held-out cases.")
            continue
        of_row[data.dataset] = cell
        with replacing(str(folder / FILE)) as unfinished:
            Path(unfinished).write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")


def matrix(pool: Pool, folder: Path) -> list[list[float | None]]:
    """`R[i][j]` as `metrics` takes it."""
    scores, names = read_scores(folder), [stage.data.dataset for stage in pool.stages]
    rows = [scores.get(str(i), {}) for i in range(len(names))]
    return [[mean(row[name].values()) if name in row else None for name in names] for row in rows]


def segment(pool: Pool, folder: Path, data: StageData, device: torch.device, *, show_progress: bool) -> Cell:
    """Dice of the held-out cases of a stage, by the nearest member each, without mirroring.

    Raises:
        UserError: the images or the labels are not there.
    """
    held_out = cases_of(data, pool.configuration).validation
    raw = nnunet_folder("nnUNet_raw") / data.dataset
    if not (raw / "dataset.json").is_file():
        raise UserError(f"{raw} is not there.", "Bring the raw data of the stage back.")
    files: dict[str, dict[str, Any]] = get_filenames_of_train_images_and_targets(str(raw))
    if missing := sorted(set(held_out) - set(files)):
        raise UserError(f"{raw} lacks {missing[0]}.", "Bring the raw data of the stage back.")
    if not held_out:
        return {}
    cases = [Case(name, tuple(files[name]["images"])) for name in held_out]
    description = read_json(raw / "dataset.json")
    settings = {"use_mirroring": False, "allow_tqdm": False, "perform_everything_on_device": device.type == "cuda"}
    with TemporaryDirectory(dir=folder) as predicted:
        taken = take_cases(pool, folder, cases, device, show_progress=show_progress)
        predict_cases(pool, folder, cases, taken, Path(predicted), device, settings)
        plans = PlansManager(read_json(preprocessed_base(data.dataset) / f"{data.plans}.json"))
        ending = description["file_ending"]
        return {
            case.name: dice(files[case.name]["label"], str(Path(predicted) / (case.name + ending)), plans, description)
            for case in cases
        }


def dice(truth: str, prediction: str, plans: PlansManager, description: dict[str, Any]) -> float:
    """nnU-Net's, the mean over labels or regions that are in the truth or in the prediction; 1 where none is."""
    manager = plans.get_label_manager(description)
    wanted = manager.foreground_regions if manager.has_regions else manager.foreground_labels
    reader = plans.image_reader_writer_class()
    metrics = compute_metrics(truth, prediction, reader, wanted, manager.ignore_label)["metrics"]
    values = [of_label["Dice"] for of_label in metrics.values() if not np.isnan(of_label["Dice"])]
    return float(np.mean(values)) if values else 1.0
