"""Accuracy on real MRI: nnU-Net's default network and the Factorizers on the hippocampus data, same budget.

    python -m benchmarks.hippocampus train -o OUT [-tr TRAINER ...]   train and validate each trainer, one after another
    python -m benchmarks.hippocampus table -o OUT                     print the table of what OUT holds

Every training is nnU-Net's own: its trainer classes, augmentation, sampling, loss and validation on fold 0 of
`3d_fullres`, with the batch size and the number of iterations given here. The environment variables of nnU-Net must
be set; the data are planned and preprocessed on first use. A training that is in OUT already is not repeated.
Other data and another configuration are trained in the same way with `-d` and `-c`.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.run.run_training import get_trainer_from_args
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

from benchmarks.measure import device

TRAINERS = (
    "nnUNetTrainer",
    "nnUNetTrainerSwinFactorizer",
    "nnUNetTrainerLocalFactorizer",
    "nnUNetTrainerGlobalFactorizer",
    "nnUNetTrainerConvFactorizer",
)
CONFIGURATION = "3d_fullres"
ITERATIONS_PER_EPOCH = 50


def result_file(out: Path, trainer_name: str, batch_size: int, iterations: int, seed: int) -> Path:
    return out / f"{trainer_name}_{iterations}x{batch_size}_seed{seed}.json"


def train(
    trainer_name: str, dataset_id: int, configuration: str, batch_size: int, iterations: int, seed: int, out: Path
) -> None:
    """Trains and validates one trainer in this process and writes its file into `out`."""
    plans_name = prepare(dataset_id, batch_size, configuration)
    trainer = get_trainer_from_args(str(dataset_id), configuration, 0, trainer_name, plans_name, False, device())
    budget = {"trainer": trainer_name, "iterations": iterations, "batch_size": batch_size, "seed": seed}
    result = budget | train_and_validate(trainer, iterations, seed)
    result_file(out, trainer_name, batch_size, iterations, seed).write_text(json.dumps(result, indent=2))


def train_and_validate(trainer: nnUNetTrainer, iterations: int, seed: int) -> dict[str, Any]:
    """Runs nnU-Net's own training and validation, and gives what they measured."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    trainer.num_iterations_per_epoch = ITERATIONS_PER_EPOCH
    trainer.num_val_iterations_per_epoch = 2
    trainer.num_epochs = iterations // ITERATIONS_PER_EPOCH
    trainer.run_training()
    trainer.perform_actual_validation()
    summary = json.loads((Path(trainer.output_folder) / "validation" / "summary.json").read_text(encoding="utf-8"))
    return {
        "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "dice": {label: values["Dice"] for label, values in summary["mean"].items()},
        "mean_dice": summary["foreground_mean"]["Dice"],
    }


def prepare(dataset_id: int, batch_size: int, configuration: str = CONFIGURATION) -> str:
    """Plans and preprocesses where that is not done yet, and gives the name of the plans with this batch size."""
    folder = Path(nnUNet_preprocessed) / maybe_convert_to_dataset_name(dataset_id)
    if not (folder / f"nnUNetPlans_{configuration}").is_dir():
        program = str(Path(sys.executable).parent / "nnUNetv2_plan_and_preprocess")
        command = [program, "-d", str(dataset_id), "-c", configuration, "-np", "2", "-npfp", "2"]
        subprocess.run(command, check=True, env=os.environ | {"nnUNet_n_proc_DA": "1"})
    plans = json.loads((folder / "nnUNetPlans.json").read_text(encoding="utf-8"))
    plans["plans_name"] = f"nnUNetPlans_batch{batch_size}"
    plans["configurations"][configuration]["batch_size"] = batch_size
    (folder / f"{plans['plans_name']}.json").write_text(json.dumps(plans, indent=2))
    return plans["plans_name"]


def print_table(out: Path) -> None:
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("nnUNetTrainer*.json"))]
    results.sort(key=lambda r: (r["iterations"], r["batch_size"], r["seed"], TRAINERS.index(r["trainer"])))
    labels = list(results[0]["dice"])
    columns = " | ".join(f"Dice label {label}" for label in labels)
    print(f"| trainer | parameters | iterations x batch | {columns} | mean Dice |")
    print("| --- " * (len(labels) + 4) + "|")
    for r in results:
        dice = " | ".join(f"{r['dice'][label]:.3f}" for label in labels)
        budget = f"{r['iterations']} x {r['batch_size']}"
        print(f"| `{r['trainer']}` | {r['parameters'] / 1e6:.2f} M | {budget} | {dice} | {r['mean_dice']:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "train-one", "table"))
    parser.add_argument("-o", type=Path, required=True, help="folder of the results, one JSON file a trainer")
    parser.add_argument("-tr", nargs="+", choices=TRAINERS, default=list(TRAINERS), help="trainers, default: all five")
    parser.add_argument("-d", type=int, default=4, help="dataset id, default: 4")
    parser.add_argument("-c", default=CONFIGURATION, help=f"configuration, default: {CONFIGURATION}")
    parser.add_argument("-b", type=int, default=2, help="batch size, default: 2")
    parser.add_argument("--iterations", type=int, default=1000, help="default: 1000")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of one training, default: 2")
    args = parser.parse_args()
    if args.action == "table":
        print_table(args.o)
        return
    args.o.mkdir(parents=True, exist_ok=True)
    if args.action == "train-one":
        torch.set_num_threads(args.threads)
        train(args.tr[0], args.d, args.c, args.b, args.iterations, args.seed, args.o)
        return
    for trainer_name in args.tr:
        if not result_file(args.o, trainer_name, args.b, args.iterations, args.seed).exists():
            arguments = [a if a != "train" else "train-one" for a in sys.argv[1:]]
            subprocess.run(
                [sys.executable, "-m", "benchmarks.hippocampus", *arguments, "-tr", trainer_name], check=True
            )


if __name__ == "__main__":
    main()
