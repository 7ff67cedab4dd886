"""nnU-Net's commands, one after the other, on one data set."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json
from tqdm import tqdm

from nnunetv2_factorizer.demo.figure import save_figure
from nnunetv2_factorizer.demo.trainers.nnUNetTrainerFactorizerDemo import nnUNetTrainerFactorizerDemo
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder
from nnunetv2_factorizer.inference.labels import foreground
from nnunetv2_factorizer.models.json_files import read_json

TRAINER = nnUNetTrainerFactorizerDemo.__name__
PLANS = "nnUNetPlans"


def run_pipeline(work: Path, dataset: str) -> list[str]:
    """Plans, preprocesses, trains, predicts the test cases and evaluates; gives the commands that were run.

    Args:
        work: with nnU-Net's `raw` folder in it; `preprocessed`, `results`, `predictions` and `logs` come to it.
        dataset: name of the data set in `raw`.

    Raises:
        UserError: a command failed; the message holds the end of its output.
    """
    dataset_id = str(int(dataset[7:10]))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    base = work / "preprocessed" / dataset
    predictions = str(work / "predictions")
    raw = work / "raw" / dataset
    model = ["-d", dataset_id, "-f", "0", "-tr", TRAINER, "-p", PLANS]
    (work / "logs").mkdir()
    commands: list[str] = []
    with tqdm(total=6, bar_format="{desc:<22} {bar} {n_fmt}/{total_fmt} [{elapsed}]") as bar:

        def step(description: str, command: list[str]) -> None:
            bar.set_description_str(description)
            commands.append(shlex.join(command))
            _run(command, work, show_epoch)
            _set(bar, len(commands))

        def show_epoch(line: str) -> None:
            match = re.search(r": Epoch (\d+)\s*$", line)
            if match:
                _set(bar, 2 + int(match[1]) / nnUNetTrainerFactorizerDemo.num_epochs)

        step("plan", ["nnUNetv2_plan_and_preprocess", "-d", dataset_id, "-npfp", "2", "--no_pp", "--no_pbar"])
        plans = read_json(base / f"{PLANS}.json")
        configuration = "3d_fullres" if "3d_fullres" in plans["configurations"] else "2d"
        step("preprocess", ["nnUNetv2_preprocess", "-d", dataset_id, "-c", configuration, "-np", "2", "--no_pbar"])
        step("train", ["nnUNetv2_train", dataset_id, configuration, "0", "-tr", TRAINER, "-p", PLANS,
             "-device", device])  # fmt: skip
        step("predict unseen cases", ["nnUNetv2_predict", "-i", str(raw / "imagesTs"), "-o", predictions, *model,
             "-c", configuration, "-device", device, "--disable_progress_bar"])  # fmt: skip
        step("evaluate", ["nnUNetv2_evaluate_folder", str(raw / "labelsTs"), predictions,
             "-djfile", str(raw / "dataset.json"), "-pfile", str(base / f"{PLANS}.json")])  # fmt: skip
        bar.set_description_str("draw")
        _draw(raw, work)
        _set(bar, 6)
    return commands


def dice_table(work: Path, dataset: str) -> list[tuple[str, float]]:
    """Name of each label and its mean Dice over the test cases."""
    summary = read_json(work / "predictions" / "summary.json")
    description = read_json(work / "raw" / dataset / "dataset.json")
    values = {name: description["labels"][name] for name in foreground(description)}
    keys = {name: str(tuple(value)) if isinstance(value, list) else str(value) for name, value in values.items()}
    return [(name, summary["mean"][key]["Dice"]) for name, key in keys.items()]


def _run(command: list[str], work: Path, on_line: Callable[[str], None]) -> None:
    environment = {
        **os.environ,
        "nnUNet_raw": str(work / "raw"),
        "nnUNet_preprocessed": str(work / "preprocessed"),
        "nnUNet_results": str(work / "results"),
        VARIABLE: os.pathsep.join([str(trainers_folder()), str(Path(__file__).parent / "trainers")]),
        "nnUNet_n_proc_DA": "1",
        "nnUNet_def_n_proc": "2",
        "PYTHONUNBUFFERED": "1",
    }
    # The commands of this environment, whether or not it is activated.
    program = str(Path(sys.executable).parent / command[0])
    log = work / "logs" / f"{command[0]}.log"
    with log.open("w", encoding="utf-8") as file, subprocess.Popen(
        [program, *command[1:]], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            on_line(line)
    if process.returncode:
        tail = "".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-20:])
        raise UserError(f"{shlex.join(command)} failed with exit code {process.returncode}. Its last lines:", tail)


def _set(bar: "tqdm[None]", done: float) -> None:
    bar.n = round(done, 2)
    bar.refresh()


def _draw(raw: Path, work: Path) -> None:
    description = read_json(raw / "dataset.json")
    reader = determine_reader_writer_from_dataset_json(description, verbose=False)()
    ending = description["file_ending"]
    cases = {}
    for name in sorted(p.name.removesuffix(ending) for p in (raw / "labelsTs").iterdir())[:3]:
        images = sorted(str(p) for p in (raw / "imagesTs").glob(f"{name}_????{ending}"))
        image, _ = reader.read_images(images)
        truth, _ = reader.read_seg(str(raw / "labelsTs" / f"{name}{ending}"))
        prediction, _ = reader.read_seg(str(work / "predictions" / f"{name}{ending}"))
        cases[name] = (image, truth[0], prediction[0])
    save_figure(work / "demo.png", cases, foreground(description))
