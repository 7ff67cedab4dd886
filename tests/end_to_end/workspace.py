"""nnU-Net's folders for a test, and its commands run in them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder
from tests.end_to_end.programs import run_elsewhere, run_program

# nnU-Net takes all cores, and threads that spin while they wait take them from other tests.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

PLANS = "nnUNetPlans"
PROGRAMS = Path(sys.executable).parent


class Workspace:
    """Raw, preprocessed and results folders below `folder`, holding one data set."""

    def __init__(self, folder: Path, dataset: str) -> None:
        self.folder = folder
        self.dataset = dataset
        self.dataset_id = str(int(dataset[7:10]))
        self.raw = folder / "raw" / dataset
        self.preprocessed = folder / "preprocessed" / dataset
        self.results = folder / "results" / dataset

    def with_results(self, name: str) -> "Workspace":
        """The same data with another results folder."""
        other = Workspace(self.folder, self.dataset)
        other.results = self.folder / name / self.dataset
        return other

    def run(
        self, *command: str, check: bool = True, programs: Path = PROGRAMS, **changes: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command of this environment, or of the one whose `programs` are given.

        `changes` go on top of nnU-Net's variables; None takes one away.
        """
        variables = {
            "nnUNet_raw": str(self.folder / "raw"),
            "nnUNet_preprocessed": str(self.folder / "preprocessed"),
            "nnUNet_results": str(self.results.parent),
            VARIABLE: os.pathsep.join([str(trainers_folder()), str(Path(__file__).parent / "trainers")]),
            # nnU-Net's planner needs at least 1, and a training that is killed leaves its workers behind.
            "nnUNet_n_proc_DA": "0" if command[0] == "nnUNetv2_train" else "1",
            "nnUNet_def_n_proc": "1",
        }
        merged = os.environ | variables | changes
        environment = {name: value for name, value in merged.items() if value is not None}
        run = run_program if programs == PROGRAMS else run_elsewhere
        done = run([str(programs / command[0]), *command[1:]], environment)
        if check:
            assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done

    def plan_and_preprocess(self, *configurations: str) -> None:
        """nnU-Net's own plans and data."""
        np = ["1"] * len(configurations)
        self.run(
            "nnUNetv2_plan_and_preprocess", "-d", self.dataset_id, "-c", *configurations, "-np", *np, "-npfp", "1"
        )  # fmt: skip

    def train(
        self,
        trainer: str,
        *flags: str,
        configuration: str = "3d_fullres",
        plans: str = PLANS,
        fold: str = "0",
        **options: Any,
    ) -> Path:
        """Trains one fold on the CPU and gives its folder; `options` are those of `run`."""
        command = ("nnUNetv2_train", self.dataset_id, configuration, fold, "-tr", trainer, "-p", plans)
        self.run(*command, "-device", "cpu", *flags, **options)
        return self.fold(trainer, configuration, plans, fold)

    def fold(self, trainer: str, configuration: str = "3d_fullres", plans: str = PLANS, fold: str = "0") -> Path:
        return self.results / f"{trainer}__{plans}__{configuration}" / f"fold_{fold}"

    def predict(
        self,
        trainer: str,
        output: str,
        *flags: str,
        configuration: str = "3d_fullres",
        plans: str = PLANS,
        folds: tuple[str, ...] = ("0",),
        **options: Any,
    ) -> Path:
        """Predicts `imagesTs` and gives the output folder; `options` are those of `run`."""
        folder = self.folder / output
        self.run(
            "nnUNetv2_predict", "-i", str(self.raw / "imagesTs"), "-o", str(folder), "-d", self.dataset_id,
            "-c", configuration, "-f", *folds, "-tr", trainer, "-p", plans, "-device", "cpu", "-npp", "0", "-nps", "0",
            "--disable_tta", "--disable_progress_bar", *flags, **options,
        )  # fmt: skip
        return folder

    def evaluate(self, predictions: Path, plans: str = PLANS) -> dict[str, Any]:
        """Metrics of each label or region, from `labelsTs`."""
        self.run(
            "nnUNetv2_evaluate_folder", str(self.raw / "labelsTs"), str(predictions), "-np", "1",
            "-djfile", str(self.raw / "dataset.json"), "-pfile", str(self.preprocessed / f"{plans}.json"),
        )  # fmt: skip
        return json.loads((predictions / "summary.json").read_text())["mean"]

    def plans(self, name: str = PLANS) -> dict[str, Any]:
        return json.loads((self.preprocessed / f"{name}.json").read_text())


def checkpoint(fold: Path, name: str = "checkpoint_final.pth") -> dict[str, Any]:
    """What nnU-Net saved."""
    return torch.load(fold / name, map_location="cpu", weights_only=False)
