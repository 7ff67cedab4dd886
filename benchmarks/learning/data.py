"""The data sets, and how they are prepared: planned and preprocessed by nnU-Net, the batch size set."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
from nnunetv2.utilities.crossval_split import generate_crossval_split
from nnunetv2.utilities.dataset_name_id_conversion import convert_id_to_dataset_name
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_factorizer.demo.phantom import write_dataset
from nnunetv2_factorizer.models.atomic import replacing


@dataclass(frozen=True)
class Data:
    """A data set of nnU-Net and one of its configurations."""

    dataset_id: int
    configuration: str
    batch_size: int | None
    """Of every training on it; None for the one that nnU-Net plans."""
    spacing: int | None = None
    """In mm, the same on all axes; None for the one that nnU-Net plans."""


DATA = {
    "hippocampus": Data(4, "3d_fullres", 2),
    "hippocampus at 2 mm": Data(4, "3d_fullres", 2, spacing=2),
    "nuclei": Data(41, "2d", 2),
    "phantom": Data(998, "3d_fullres", 2),
}
PHANTOM = "Dataset998_LearningPhantom"
PHANTOM_CASES = 40


def prepare(data: Data, planner: str = "ExperimentPlanner") -> tuple[str, str]:
    """Plans and preprocesses what is not there yet; the names of the data set and of its plans."""
    if data is DATA["phantom"] and not (Path(nnUNet_raw) / PHANTOM / "dataset.json").is_file():  # which comes last
        shutil.rmtree(Path(nnUNet_raw) / PHANTOM, ignore_errors=True)
        write_dataset(Path(nnUNet_raw) / PHANTOM, num_training=PHANTOM_CASES, num_test=0)
    name = convert_id_to_dataset_name(data.dataset_id)
    folder = Path(nnUNet_preprocessed) / name
    plans_name = {"ExperimentPlanner": "nnUNetPlans", "nnUNetPlannerResEncM": "nnUNetResEncUNetMPlans"}[planner]
    identifier = f"{data.dataset_id}"
    cases = len(get_filenames_of_train_images_and_targets(str(Path(nnUNet_raw) / name)))
    if len(list((folder / f"nnUNetPlans_{data.configuration}").glob("*.pkl"))) < cases:
        nnunet("plan_and_preprocess", "-d", identifier, "-c", data.configuration, "-np", "2", "-npfp", "2")
    if not (folder / f"{plans_name}.json").is_file():  # for the same data, which need no other preprocessing
        nnunet("plan_experiment", "-d", identifier, "-pl", planner)
    if data.spacing is not None:
        spacing, plans_name = 3 * (f"{data.spacing}",), f"{plans_name}_{data.spacing}mm"
        if not (folder / f"{plans_name}.json").is_file():
            nnunet(
                "plan_experiment", "-d", identifier, "-pl", planner,
                "-overwrite_target_spacing", *spacing, "-overwrite_plans_name", plans_name,
            )  # fmt: skip
        if len(list((folder / f"{plans_name}_{data.configuration}").glob("*.pkl"))) < cases:
            nnunet("preprocess", "-d", identifier, "-plans_name", plans_name, "-c", data.configuration, "-np", "2")
    if data.batch_size is None:
        return name, plans_name
    plans = json.loads((folder / f"{plans_name}.json").read_text(encoding="utf-8"))
    plans["plans_name"] = f"{plans_name}_batch{data.batch_size}"
    plans["configurations"][data.configuration]["batch_size"] = data.batch_size
    with replacing(str(folder / f"{plans['plans_name']}.json")) as unfinished:  # other trainings may be reading it
        Path(unfinished).write_text(json.dumps(plans, indent=2), encoding="utf-8")
    return name, plans["plans_name"]


def preprocess_like(source: str, dataset: str, plans_name: str, configuration: str) -> None:
    """Preprocesses a raw data set with the plans of another, by the commands of docs/new_scanner.md."""
    number = dataset[7:10]  # these two take no name
    nnunet("plan_and_preprocess", "-d", number, "--no_pp", "-npfp", "1")
    nnunet("move_plans_between_datasets", "-s", source, "-t", dataset, "-sp", plans_name, "-tp", plans_name)
    nnunet("preprocess", "-d", number, "-plans_name", plans_name, "-c", configuration, "-np", "1")


def folds(dataset: str) -> list[dict[str, list[str]]]:
    """nnU-Net's split, which its first training would write."""
    file = Path(nnUNet_preprocessed) / dataset / "splits_final.json"
    if not file.is_file():
        cases = sorted(get_filenames_of_train_images_and_targets(str(Path(nnUNet_raw) / dataset)))
        with replacing(str(file)) as unfinished:
            Path(unfinished).write_text(json.dumps(generate_crossval_split(cases)), encoding="utf-8")
    return list(json.loads(file.read_text(encoding="utf-8")))


def nnunet(command: str, *arguments: str) -> None:
    """Runs a command of nnU-Net, whose planning needs a process of augmentation."""
    program = str(Path(sys.executable).parent / f"nnUNetv2_{command}")
    subprocess.run([program, *arguments], check=True, env=os.environ | {"nnUNet_n_proc_DA": "1"})
