"""A model of scanner A, adapted with a few labelled cases of scanner B: Dice on both scanners after that."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw

from benchmarks.learning.data import prepare, preprocess_like
from benchmarks.learning.training import Measured, instantiate, train_to_end
from benchmarks.measure import device, machine
from benchmarks.pretraining.training import FewLabels
from benchmarks.scanner.cases import dice_of_cases, files, some, write_raw
from benchmarks.scanner.models import FOLD, SOURCE, predictor, published
from nnunetv2_factorizer.adaptation.methods import METHODS
from nnunetv2_factorizer.adaptation.trainer import Adapting
from nnunetv2_factorizer.pretraining.finetuning import VARIABLE
from nnunetv2_factorizer.training import MuonRecipe

DATASETS = {"B1": "Dataset981_ScannerB1", "B2": "Dataset982_ScannerB2", "B3": "Dataset983_ScannerB3"}
ITERATIONS_PER_EPOCH = 10
"""MMTL's share of target cases grows from epoch to epoch."""

MODEL = "nnU-Net + Muon"
NOTHING = "nothing"
"""The row of the model as it was."""


def not_adapted(scanner: str, source_iterations: int) -> dict[str, Any]:
    """What `adapt` gives, of the model before it."""
    return {
        **{"method": NOTHING, "scanner": scanner, "cases": 0, "seed": 0, "source_iterations": source_iterations},
        **_dice_on_both(predictor(published(MODEL, source_iterations)), scanner),
    }


def adapt(method: str, scanner: str, cases: int, seed: int, iterations: int, source_iterations: int) -> dict[str, Any]:
    """Adapts nnU-Net's U-Net, learned on A with Muon, and segments validation cases of both scanners.

    Args:
        method: one of `METHODS`.
        scanner: B1, B2 or B3.
        cases: labelled ones of it.
        seed: which cases, and all that is drawn.
        iterations: of the adaptation.
        source_iterations: that A was learned in.
    """
    plans_name = prepare_scanner(scanner)
    source = published(MODEL, source_iterations)
    os.environ[VARIABLE] = str(source / f"fold_{FOLD}" / "checkpoint_final.pth")
    name = f"Adapt{method}_{cases}cases{seed}_{iterations}"
    attributes = {
        **{"method": METHODS[method], "seed": seed, "cases": cases, "selection": seed},
        **{"num_epochs": iterations // ITERATIONS_PER_EPOCH, "num_iterations_per_epoch": ITERATIONS_PER_EPOCH},
        **{"num_val_iterations_per_epoch": 1},
    }
    trainer_class = type(name, (Measured, FewLabels, Adapting, MuonRecipe), attributes)
    trainer = instantiate(trainer_class, DATASETS[scanner], plans_name, SOURCE.configuration, FOLD, seed)
    train_to_end(trainer)
    trainer.set_deep_supervision_enabled(False)
    model = nnUNetPredictor(use_mirroring=False, device=device(), allow_tqdm=False, perform_everything_on_device=False)
    model.manual_initialization(
        trainer.network, trainer.plans_manager, trainer.configuration_manager, [trainer.network.state_dict()],
        trainer.dataset_json, trainer.__class__.__name__, None,
    )  # fmt: skip
    return {
        **{"method": method, "scanner": scanner, "cases": cases, "seed": seed, "iterations": iterations},
        **{"source_iterations": source_iterations, "machine": machine(), "seconds": trainer.curve[-1]["seconds"]},
        **_dice_on_both(model, scanner),
    }


def _dice_on_both(model: nnUNetPredictor, scanner: str) -> dict[str, Any]:
    chosen = some()
    source, target = (dice_of_cases(model, chosen, each) for each in ("A", scanner))
    return {
        **{"validated": chosen, "source_dice": round(mean(source), 5), "target_dice": round(mean(target), 5)},
        **{"source_dice_of_cases": source, "target_dice_of_cases": target},
    }


def prepare_scanner(scanner: str) -> str:
    """The data set of a scanner B, with the plans of A; gives their name."""
    source, plans_name = prepare(SOURCE)
    name = DATASETS[scanner]
    raw, preprocessed = Path(nnUNet_raw) / name, Path(nnUNet_preprocessed) / name
    if not (raw / "dataset.json").is_file():  # which is written last
        write_raw(raw, dict.fromkeys(files(), scanner))
    done = len(list((preprocessed / f"nnUNetPlans_{SOURCE.configuration}").glob("*.pkl")))
    if done < len(files()):
        preprocess_like(source, name, plans_name, SOURCE.configuration)
        shutil.copy(Path(nnUNet_preprocessed) / source / "splits_final.json", preprocessed)
    return plans_name


def print_adapted(out: Path, seeds: Sequence[int]) -> None:
    """A table a scanner: Dice on it and on A for each method and number of labelled cases, mean and range of seeds."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*.json"))]
    runs = [run for run in found if run["method"] == NOTHING or run["seed"] in seeds]
    for scanner in DATASETS:
        if not (of_scanner := [run for run in runs if run["scanner"] == scanner]):
            continue
        numbers = sorted({run["cases"] for run in of_scanner} - {0}) or [0]
        columns = " | ".join(f"{number} labelled: {scanner}, A" for number in numbers)
        print(f"\n| {scanner} | {columns} |\n| --- |" + " --- |" * len(numbers))
        for method in (NOTHING, *METHODS):
            cells = [_cell([run for run in of_scanner if _is(run, method, number)]) for number in numbers]
            print(f"| {method} | {' | '.join(cells)} |")


def _is(run: dict[str, Any], method: str, number: int) -> bool:
    return run["method"] == method and (method == NOTHING or run["cases"] == number)


def _cell(runs: list[dict[str, Any]]) -> str:
    return f"{_range(runs, 'target_dice')}, {_range(runs, 'source_dice')}" if runs else ""


def _range(runs: list[dict[str, Any]], key: str) -> str:
    values = [run[key] for run in runs]
    return f"{mean(values):.3f}" + (f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else "")
