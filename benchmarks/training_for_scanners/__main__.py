"""Trainings for other scanners, on real MRI: hippocampus at 2 mm, fold 0, nnU-Net's U-Net with Muon if not said so.

    python -m benchmarks.training_for_scanners run -o OUT [--experiment NAME ...] [--arm NAME ...] [--seed 0 1 2]
    python -m benchmarks.training_for_scanners table -o OUT

    unseen    trained on scanner A, segmented on A, B1, B2 and B3
    sites     trained on three sites, segmented on them and on B3; what features tell of the site
    aiva      a model of A goes on with A labelled and another scanner unlabelled
    cleaning  trained on labels with errors, of the hippocampus and of phantoms with many objects

`run` leaves out what OUT holds already and resumes what was interrupted. The environment variables of nnU-Net must be
set. One JSON file a run. Validation cases are predicted without mirroring.
"""

import argparse
import json
from pathlib import Path

import torch

from benchmarks.learning.training import file_name
from benchmarks.measure import machine
from benchmarks.processes import run_all
from benchmarks.training_for_scanners.experiments import EXPERIMENTS
from benchmarks.training_for_scanners.results import print_tables
from benchmarks.training_for_scanners.training import ITERATIONS_PER_EPOCH
from nnunetv2_factorizer.models.atomic import replacing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("action", choices=("run", "run-one", "table"))
    add("-o", type=Path, required=True, help="folder of the results")
    add("--experiment", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS), help="default: all")
    add("--arm", nargs="+", help="rows of the experiments, default: all")
    add("--iterations", type=int, help="default: that of the experiment, 250, for aiva 100, for cleaning 500")
    add("--seed", nargs="+", type=int, default=[0, 1, 2], help="default: 0 1 2")
    add("--jobs", type=int, default=2, help="runs at once, default: 2")
    args = parser.parse_args()
    if args.iterations is not None and (args.iterations <= 0 or args.iterations % ITERATIONS_PER_EPOCH):
        parser.error(f"--iterations must be a multiple of {ITERATIONS_PER_EPOCH}, got {args.iterations}")
    known = {arm for experiment in args.experiment for arm in EXPERIMENTS[experiment].ARMS}
    if unknown := sorted(set(args.arm or ()) - known):
        parser.error(f"--arm {unknown[0]!r} is in none of {', '.join(args.experiment)}; there are {', '.join(known)}")
    args.o.mkdir(parents=True, exist_ok=True)
    if args.action == "table":
        print_tables(args.o)
    elif args.action == "run-one":
        _run_one(args, args.experiment[0], args.arm[0], args.seed[0])
    else:
        _run_all(args)


def _run_all(args: argparse.Namespace) -> None:
    """Each in a process of its own, on one thread; a seed of all arms before the next one."""
    commands = {}
    for experiment in args.experiment:
        module = EXPERIMENTS[experiment]
        arms = [arm for arm in module.ARMS if args.arm is None or arm in args.arm]
        if not all(_file(args, experiment, arm, seed).is_file() for arm in arms for seed in args.seed):
            module.prepare_data(arms)  # before several runs need it at once
    for seed in args.seed:
        for experiment in args.experiment:
            for arm in (arm for arm in EXPERIMENTS[experiment].ARMS if args.arm is None or arm in args.arm):
                command = ["-m", "benchmarks.training_for_scanners", "run-one", "-o", str(args.o)]
                command += ["--experiment", experiment, "--arm", arm, "--seed", f"{seed}"]
                command += ["--iterations", f"{_iterations(args, experiment)}"]
                commands[_file(args, experiment, arm, seed)] = command
    run_all(commands, args.jobs)


def _run_one(args: argparse.Namespace, experiment: str, arm: str, seed: int) -> None:
    torch.set_num_threads(1)
    iterations = _iterations(args, experiment)
    found = EXPERIMENTS[experiment].run(arm, iterations, seed)
    told = {"experiment": experiment, "arm": arm, "iterations": iterations, "seed": seed, "machine": machine()}
    with replacing(str(_file(args, experiment, arm, seed))) as unfinished:
        Path(unfinished).write_text(json.dumps(told | found, indent=1), encoding="utf-8")


def _iterations(args: argparse.Namespace, experiment: str) -> int:
    return args.iterations or EXPERIMENTS[experiment].ITERATIONS


def _file(args: argparse.Namespace, experiment: str, arm: str, seed: int) -> Path:
    return args.o / f"{experiment}_{file_name(arm)}_{_iterations(args, experiment)}_seed{seed}.json"


if __name__ == "__main__":
    main()
