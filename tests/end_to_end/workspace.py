"""nnU-Net's folders for a test, and its commands run in them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder


class Workspace:
    """Raw, preprocessed and results folders below `folder`, holding one data set."""

    def __init__(self, folder: Path, dataset: str) -> None:
        self.folder = folder
        self.dataset = dataset
        self.dataset_id = str(int(dataset[7:10]))
        self.raw = folder / "raw" / dataset
        self.preprocessed = folder / "preprocessed" / dataset
        self.results = folder / "results" / dataset

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of this environment; `environment` goes on top of nnU-Net's variables."""
        variables = {
            "nnUNet_raw": str(self.folder / "raw"),
            "nnUNet_preprocessed": str(self.folder / "preprocessed"),
            "nnUNet_results": str(self.folder / "results"),
            VARIABLE: os.pathsep.join([str(trainers_folder()), str(Path(__file__).parent / "trainers")]),
            # nnU-Net's planner needs at least 1, and a training that is killed leaves its workers behind.
            "nnUNet_n_proc_DA": "0" if command[0] == "nnUNetv2_train" else "1",
            "nnUNet_def_n_proc": "2",
        }
        program = str(Path(sys.executable).parent / command[0])
        done = subprocess.run(
            [program, *command[1:]], env=os.environ | variables | environment, capture_output=True, text=True
        )
        if check:
            assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done

    def train(self, trainer: str, *flags: str, configuration: str = "3d_fullres", **options: Any) -> Path:
        """Trains fold 0 on the CPU and gives its folder; options are the plans' name and those of `run`."""
        plans = options.pop("plans", "nnUNetPlans")
        command = ("nnUNetv2_train", self.dataset_id, configuration, "0", "-tr", trainer, "-p", plans, "-device", "cpu")
        self.run(*command, *flags, **options)
        return self.results / f"{trainer}__{plans}__{configuration}" / "fold_0"

    def predict(self, trainer: str, output: str, *flags: str, plans: str = "nnUNetPlans", **options: Any) -> Path:
        """Predicts `imagesTs` with fold 0 of `3d_fullres` and gives the output folder."""
        folder = self.folder / output
        self.run(
            "nnUNetv2_predict", "-i", str(self.raw / "imagesTs"), "-o", str(folder), "-d", self.dataset_id,
            "-c", "3d_fullres", "-f", "0", "-tr", trainer, "-p", plans, "-device", "cpu", "-npp", "1", "-nps", "1",
            "--disable_tta", "--disable_progress_bar", *flags, **options,
        )  # fmt: skip
        return folder

    def plans(self, name: str) -> dict[str, Any]:
        return json.loads((self.preprocessed / f"{name}.json").read_text())


def checkpoint(fold: Path, name: str = "checkpoint_final.pth") -> dict[str, Any]:
    """What nnU-Net saved."""
    return torch.load(fold / name, map_location="cpu", weights_only=False)
