"""Dice with few labels after pre-training without any: hippocampus at 2 mm, fold 0, a Hybrid Factorizer with Muon.

    python -m benchmarks.pretraining run -o OUT --arm NAME ... [--cases 2 5 20 160] [--selection 0 1 2]
    python -m benchmarks.pretraining table -o OUT
    python -m benchmarks.pretraining plot -o OUT

Pre-training sees the 160 training images of the fold (or phantoms, or noise) without their labels; then a training with
the labels of a few of them, validated on the 40 other cases without mirroring. `run` leaves out what OUT holds already
and resumes what was interrupted. The environment variables of nnU-Net must be set. One JSON file a run.
"""

import argparse
import json
from itertools import product
from pathlib import Path

import torch

from benchmarks.learning.data import prepare
from benchmarks.learning.training import ITERATIONS_PER_EPOCH, file_name
from benchmarks.pretraining.arms import ARMS
from benchmarks.pretraining.images import TARGET, prepare_archive
from benchmarks.pretraining.results import plot, print_table
from benchmarks.pretraining.training import run
from benchmarks.processes import run_all
from nnunetv2_factorizer.models.atomic import replacing

ALL_CASES = 160


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "run-one", "table", "plot"))
    parser.add_argument("-o", type=Path, required=True, help="folder of the results")
    parser.add_argument("--arm", nargs="+", choices=ARMS, default=list(ARMS), help="default: all")
    parser.add_argument("--cases", nargs="+", type=int, default=[2, 5, 20, ALL_CASES], help="default: 2 5 20 160")
    parser.add_argument("--selection", nargs="+", type=int, default=[0, 1, 2], help="of the cases, default: 0 1 2")
    parser.add_argument("--iterations", type=int, default=250, help="with labels, default: 250")
    parser.add_argument("--pretraining-iterations", type=int, default=500, help="default: 500")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, default: 2")
    args = parser.parse_args()
    if any(number % ITERATIONS_PER_EPOCH for number in (args.iterations, args.pretraining_iterations)):
        parser.error(f"iterations must be multiples of {ITERATIONS_PER_EPOCH}")
    args.o.mkdir(parents=True, exist_ok=True)
    if args.action == "table":
        print_table(args.o)
    elif args.action == "plot":
        plot(args.o).savefig(args.o / "pretraining.png", dpi=150)
    elif args.action == "run-one":
        _run_one(args, args.arm[0], args.cases[0], args.selection[0])
    else:
        _run_all(args)


def _file(args: argparse.Namespace, arm: str, cases: int, selection: int) -> Path:
    budget = f"{args.pretraining_iterations}_{args.iterations}"
    return args.o / f"{file_name(arm)}_{cases}cases_selection{selection}_{budget}.json"


def _run_one(args: argparse.Namespace, arm: str, cases: int, selection: int) -> None:
    torch.set_num_threads(1)
    result = run(arm, cases, selection, args.iterations, args.pretraining_iterations)
    with replacing(str(_file(args, arm, cases, selection))) as unfinished:
        Path(unfinished).write_text(json.dumps(result, indent=1), encoding="utf-8")


def _run_all(args: argparse.Namespace) -> None:
    """Each run in a process of its own, on one thread."""
    prepare(TARGET)  # this and the archive before several runs need them at once
    if any(stage.images == "foreign" for arm in args.arm for stage in ARMS[arm].stages):
        prepare_archive()
    commands = {}
    for cases, selection, arm in product(args.cases, args.selection, args.arm):
        if cases == ALL_CASES and selection != args.selection[0]:
            continue  # all cases are one selection
        command = ["-m", "benchmarks.pretraining", "run-one", "-o", str(args.o), "--arm", arm]
        command += ["--cases", f"{cases}", "--selection", f"{selection}", "--iterations", f"{args.iterations}"]
        command += ["--pretraining-iterations", f"{args.pretraining_iterations}"]
        commands[_file(args, arm, cases, selection)] = command
    run_all(commands, args.jobs)


if __name__ == "__main__":
    main()
