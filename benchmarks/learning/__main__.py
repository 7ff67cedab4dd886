"""Dice by iterations and by seconds: networks and recipes trained for the same budget, with nnU-Net's own pipeline.

    python -m benchmarks.learning run -o OUT --method NAME ... [--data hippocampus] [--fold 0 1] [--iterations 250]
    python -m benchmarks.learning table -o OUT [--fold 0 1]
    python -m benchmarks.learning plot -o OUT --method NAME ... [--iterations 250 1000] [--fold 0 1]

Every training is nnU-Net's: its augmentation, sampling and loss, its validation of the whole images at the end. `run`
leaves out what OUT holds already and resumes what was interrupted. The environment variables of nnU-Net must be set;
data are planned and preprocessed on first use. One JSON file a training.
"""

import argparse
import json
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch

from benchmarks.learning.data import DATA, prepare
from benchmarks.learning.methods import METHODS
from benchmarks.learning.results import plot, print_tables
from benchmarks.learning.training import ITERATIONS_PER_EPOCH, file_name, train
from benchmarks.processes import run_all
from nnunetv2_factorizer.models.atomic import replacing

Budget = tuple[str, int, int, int]
"""Data set, fold, iterations, seed."""


def result_file(out: Path, method: str, budget: Budget) -> Path:
    data, fold, iterations, seed = budget
    return out / f"{data}_{file_name(method)}_fold{fold}_{iterations}_seed{seed}.json"


def run(out: Path, methods: Sequence[str], budgets: Sequence[Budget], jobs: int, threads: int) -> None:
    """Each training in a process of its own, `jobs` at once."""
    wanted = [(m, b) for b, m in product(budgets, methods) if not result_file(out, m, b).is_file()]
    for data in {budget[0] for _, budget in wanted}:
        for planner in {METHODS[method].planner for method, _ in wanted}:
            prepare(DATA[data], planner)  # before several trainings do at once
    commands = {}
    for method, budget in wanted:
        data, fold, iterations, seed = map(str, budget)
        command = ["-m", "benchmarks.learning", "run-one", "-o", str(out), "--method", method]
        command += ["--data", data, "--fold", fold, "--iterations", iterations, "--seed", seed]
        commands[result_file(out, method, budget)] = command
    run_all(commands, jobs, threads)


def run_one(out: Path, method: str, budget: Budget) -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    result = train(method, *budget)
    with replacing(str(result_file(out, method, budget))) as unfinished:
        Path(unfinished).write_text(json.dumps(result, indent=1), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "run-one", "table", "plot"))
    parser.add_argument("-o", type=Path, required=True, help="folder of the results")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=[], help="what to train or to draw")
    parser.add_argument("--data", nargs="+", choices=DATA, default=["hippocampus"], help="default: hippocampus")
    parser.add_argument("--fold", nargs="+", type=int, help="default: 0 of what is trained, all of what is shown")
    parser.add_argument("--iterations", nargs="+", type=int, default=[250], help="default: 250")
    parser.add_argument("--seed", nargs="+", type=int, default=[0], help="default: 0")
    parser.add_argument("--reference", choices=METHODS, default="nnU-Net + Muon", help="of the pairs in the table")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, default: 2")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each, default: 1")
    args = parser.parse_args()
    if args.action != "table" and not args.method:
        parser.error("--method is needed")
    if any(number % ITERATIONS_PER_EPOCH or not number for number in args.iterations):
        parser.error(f"--iterations must be multiples of {ITERATIONS_PER_EPOCH}, got {args.iterations}")
    args.o.mkdir(parents=True, exist_ok=True)
    budgets = list(product(args.data, args.fold or [0], args.iterations, args.seed))
    if args.action == "run":
        run(args.o, args.method, budgets, args.jobs, args.threads)
    elif args.action == "run-one":
        run_one(args.o, args.method[0], budgets[0])
    elif args.action == "table":
        print_tables(args.o, args.reference, args.fold)
    else:
        for data in args.data:
            plot(args.o, data, args.method, args.iterations, args.fold).savefig(args.o / f"{data}.png", dpi=150)


if __name__ == "__main__":
    main()
