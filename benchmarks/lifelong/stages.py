"""Five stages of hippocampus data that slide from scanner A to scanner B3, each with cases of its own."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw

from benchmarks.learning.data import DATA, prepare, preprocess_like
from benchmarks.scanner.cases import split, write_raw

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of scanner B3 in each stage."""
NEW = "B3"
DATASETS = tuple(f"Dataset97{number}_Slide{number}" for number in range(1, len(SHARES) + 1))
PLANNED = DATA["hippocampus at 2 mm"]


@dataclass(frozen=True)
class Cases:
    """Of a stage: each case with its scanner."""

    train: dict[str, str]
    val: dict[str, str]


def divided(train: list[str], val: list[str]) -> list[Cases]:
    """The cases of each stage, no case in two of them."""
    generator = np.random.default_rng(0)
    parts = []
    for names in (train, val):
        shuffled = generator.permutation(sorted(names)).tolist()
        of_stages = [shuffled[number :: len(SHARES)] for number in range(len(SHARES))]
        parts.append([_scanners(of_stage, share) for of_stage, share in zip(of_stages, SHARES, strict=True)])
    return [Cases(*of_stage) for of_stage in zip(*parts, strict=True)]


def _scanners(cases: list[str], share: float) -> dict[str, str]:
    new = round(share * len(cases))
    return {case: NEW if number < new else "A" for number, case in enumerate(cases)}


def prepare_stages() -> str:
    """Writes and preprocesses what is not there yet, with the plans of all hippocampus cases; gives their name."""
    source, plans_name = prepare(PLANNED)
    for dataset, cases in zip(DATASETS, divided(split("train"), split("val")), strict=True):
        raw, preprocessed = Path(nnUNet_raw) / dataset, Path(nnUNet_preprocessed) / dataset
        if not (raw / "dataset.json").is_file():  # which is written last
            write_raw(raw, cases.train | cases.val)
        if not (preprocessed / "splits_final.json").is_file():  # which is written last, too
            preprocess_like(source, dataset, plans_name, PLANNED.configuration)
            folds = [{"train": sorted(cases.train), "val": sorted(cases.val)}]
            (preprocessed / "splits_final.json").write_text(json.dumps(folds), encoding="utf-8")
    return plans_name
