"""The models of scanner A, trained by `python -m benchmarks.learning run`, as our commands find them."""

import os
import shutil
from pathlib import Path

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.paths import nnUNet_results

from benchmarks.learning.data import DATA, prepare
from benchmarks.learning.training import file_name
from benchmarks.measure import device
from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder
from nnunetv2_factorizer.inference.model import load_model
from nnunetv2_factorizer.models.atomic import new_folder

SOURCE = DATA["hippocampus"]
FOLD = 0


def published(method: str, iterations: int) -> Path:
    """The model's folder, `DATASET/TRAINER__PLANS__CONFIGURATION`, made where it is not there yet.

    The benchmark's trainers have names that no command finds; the checkpoint here names one that does.
    """
    trainer = "nnUNetTrainerHybridFactorizer" if method.startswith("Hybrid") else "nnUNetTrainer"
    name = f"{file_name(method)}_{iterations}"
    dataset, plans_name = prepare(SOURCE)
    model = f"{plans_name}__{SOURCE.configuration}"
    folder = Path(nnUNet_results) / "scanner_A" / name / dataset / f"{trainer}__{model}"
    if folder.is_dir():
        return folder
    trained = Path(nnUNet_results) / dataset / f"{name}_seed0__{model}"
    checkpoint = torch.load(trained / f"fold_{FOLD}" / "checkpoint_final.pth", weights_only=False)
    with new_folder(folder) as unfinished:
        for file in ("plans.json", "dataset.json"):
            shutil.copy(trained / file, unfinished)
        (unfinished / f"fold_{FOLD}").mkdir()
        torch.save(checkpoint | {"trainer_name": trainer}, unfinished / f"fold_{FOLD}" / "checkpoint_final.pth")
    return folder


def predictor(folder: Path) -> nnUNetPredictor:
    """Of a model, without mirroring, on as many threads as the process has."""
    os.environ.setdefault(VARIABLE, str(trainers_folder()))  # nnU-Net looks for the Hybrid's trainer there
    threads = torch.get_num_threads()
    loaded = load_model(
        folder, [f"{FOLD}"], "checkpoint_final.pth", device(),
        use_mirroring=False, allow_tqdm=False, perform_everything_on_device=device().type == "cuda",
    )  # fmt: skip
    torch.set_num_threads(threads)
    return loaded
