"""Five stages of hippocampus data that slide from scanner A to scanner B3, each with cases of its own."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw

from benchmarks.learning.data import DATA, nnunet, prepare
from benchmarks.scanner.cases import files, split, write_scanned
from nnunetv2_factorizer.case_metadata import FILE

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
        scanners = cases.train | cases.val
        if not (raw / "dataset.json").is_file():  # which is written last
            _write_raw(raw, scanners, Path(nnUNet_raw) / source)
        if not (preprocessed / "splits_final.json").is_file():  # which is written last, too
            number = dataset[7:10]
            nnunet("plan_and_preprocess", "-d", number, "--no_pp", "-npfp", "1")
            nnunet("move_plans_between_datasets", "-s", source, "-t", dataset, "-sp", plans_name, "-tp", plans_name)
            nnunet(
                "preprocess", "-d", number, "-plans_name", plans_name, "-c", PLANNED.configuration, "-np", "1"
            )  # fmt: skip
            folds = [{"train": sorted(cases.train), "val": sorted(cases.val)}]
            (preprocessed / "splits_final.json").write_text(json.dumps(folds), encoding="utf-8")
    return plans_name


def _write_raw(raw: Path, scanners: dict[str, str], source: Path) -> None:
    for folder in ("imagesTr", "labelsTr"):
        (raw / folder).mkdir(parents=True, exist_ok=True)
    for case, scanner in scanners.items():
        write_scanned(raw / "imagesTr" / f"{case}_0000.nii.gz", case, scanner)
        shutil.copy(files()[case]["label"], raw / "labelsTr")
    sites = {case: {"site": scanner} for case, scanner in scanners.items()}
    (raw / FILE).write_text(json.dumps(sites), encoding="utf-8")
    description: dict[str, Any] = json.loads((source / "dataset.json").read_text(encoding="utf-8"))
    description["numTraining"] = len(scanners)
    (raw / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
