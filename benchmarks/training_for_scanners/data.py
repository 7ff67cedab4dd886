"""The data sets: hippocampus at 2 mm, what scanners B and wrong labels make of it, and phantoms with wrong labels."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw

from benchmarks.learning.data import DATA, Data, folds, prepare, preprocess_like
from benchmarks.scanner.cases import files, split, write_raw, write_scanned
from benchmarks.scanner.corruption import corrupt_dataset
from benchmarks.training_for_scanners.phantoms import write_objects
from nnunetv2_factorizer.models.atomic import new_folder
from nnunetv2_factorizer.pretraining.unlabelled import register

PLANNED, FOLD = DATA["hippocampus at 2 mm"], 0
SITES = ("A", "B1", "B2")
THREE_SITES = "Dataset961_ThreeSites"
TARGETS = {"B2": "Dataset962_UnlabelledB2", "B3": "Dataset963_UnlabelledB3"}


@dataclass(frozen=True)
class Labels:
    """A data set with its true labels, and the same with wrong ones, which has the true ones in `labelsTr_truth`."""

    true: Data
    wrong: str


OBJECTS = "Dataset965_Objects"
LABELS = {
    "hippocampus": Labels(PLANNED, "Dataset964_WrongLabels"),
    "objects": Labels(Data(965, "3d_fullres", 2), "Dataset966_ObjectsWrongLabels"),
}


def prepare_sites() -> tuple[str, str]:
    """Each case from one of three sites, with the fold of all cases; names of the data set and of its plans."""
    source, plans_name = prepare(PLANNED)
    raw = Path(nnUNet_raw) / THREE_SITES
    if not (raw / "dataset.json").is_file():  # which is written last
        write_raw(raw, sites_of(split("train")) | sites_of(split("val")))
    _preprocess(source, THREE_SITES, plans_name, PLANNED.configuration)
    return THREE_SITES, plans_name


def sites_of(cases: list[str]) -> dict[str, str]:
    """A site for each case, drawn; all sites have the same number."""
    shuffled = np.random.default_rng(0).permutation(sorted(cases)).tolist()
    return {case: SITES[number % len(SITES)] for number, case in enumerate(shuffled)}


def halves() -> tuple[list[str], list[str]]:
    """Of the fold's training cases: those with labels, of scanner A, and those without, of the new scanner."""
    cases = sorted(split("train"))
    return cases[::2], cases[1::2]


def prepare_targets() -> None:
    """Images of B2 and of B3 without labels, as `nnUNetv2_factorizer_unlabelled` registers them."""
    source, plans_name = prepare(PLANNED)
    for scanner, dataset in TARGETS.items():
        images = Path(nnUNet_raw) / f"unlabelled_{scanner}"
        if not images.is_dir():
            with new_folder(images) as unfinished:
                for case in halves()[1]:
                    write_scanned(unfinished / f"{case}_0000.nii.gz", case, scanner)
        configurations = [PLANNED.configuration]
        register([images], dataset, source, plans_name=plans_name, configurations=configurations, processes=1)


def prepare_labels(name: str) -> tuple[str, str]:
    """The data sets with true and with wrong labels; names of the one with the true ones and of the plans of both."""
    labels = LABELS[name]
    if name == "objects" and not (Path(nnUNet_raw) / OBJECTS).is_dir():
        write_objects(Path(nnUNet_raw) / OBJECTS)
    true, plans_name = prepare(labels.true)
    folds(true)
    raw = Path(nnUNet_raw) / labels.wrong
    if not raw.is_dir():
        with new_folder(raw) as unfinished:
            if name == "objects":
                shutil.copytree(Path(nnUNet_raw) / true, unfinished, dirs_exist_ok=True)
            else:
                write_raw(unfinished, dict.fromkeys(files(), "A"))
            corrupt_dataset(unfinished)
    _preprocess(true, labels.wrong, plans_name, labels.true.configuration)
    return true, plans_name


def _preprocess(source: str, dataset: str, plans_name: str, configuration: str) -> None:
    """With the plans and the split of another data set, which is copied last."""
    splits = Path(nnUNet_preprocessed) / dataset / "splits_final.json"
    if not splits.is_file():
        preprocess_like(source, dataset, plans_name, configuration)
        splits.write_text(json.dumps(folds(source)), encoding="utf-8")
