"""A new scanner, on real MRI: hippocampus, whose images three scanners B change; labels stay as they are.

    python -m benchmarks.scanner calibrate [--method NAME] [--strength 0.5 1 1.5]
    python -m benchmarks.scanner loss --method NAME ...
    python -m benchmarks.scanner notice --method NAME ...
    python -m benchmarks.scanner style -o OUT [--method NAME]
    python -m benchmarks.scanner adapt -o OUT [--adaptation NAME ...] [--scanner B2] [--cases 1 4 8] [--seed 0 1 2]
    python -m benchmarks.scanner adapted -o OUT [--seed 0 1 2]

For models of scanner A that `python -m benchmarks.learning run` has trained on fold 0 of the hippocampus data, in 250
iterations if not said otherwise. The environment variables of nnU-Net must be set. Validation cases are predicted
without mirroring. `style` and `adapt` leave out what OUT holds; `adapt` writes a JSON file a run and resumes what was
interrupted, `adapted` prints its tables.
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks.learning.methods import METHODS
from benchmarks.processes import run_all
from benchmarks.scanner.adapt import ITERATIONS_PER_EPOCH, NOTHING, adapt, not_adapted, prepare_scanner, print_adapted
from benchmarks.scanner.loss import print_calibration, print_loss
from benchmarks.scanner.notice import print_notice
from benchmarks.scanner.scanners import SCANNERS
from benchmarks.scanner.style import predict_styles, print_styles
from nnunetv2_factorizer.adaptation.methods import METHODS as ADAPTATIONS
from nnunetv2_factorizer.models.atomic import replacing

ACTIONS = ("calibrate", "loss", "notice", "style", "adapt", "adapt-one", "adapted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("action", choices=ACTIONS)
    add("-o", type=Path, help="folder of the results of style or adapt")
    add("--method", nargs="+", choices=METHODS, default=["nnU-Net + Muon"], help="how A was learned")
    add("--iterations", type=int, default=250, help="that A was learned in, default: 250")
    add("--strength", nargs="+", type=float, default=[0.25, 0.5, 0.8, 1.15, 1.5], help="of scanners, to calibrate")
    add("--scanner", nargs="+", choices=SCANNERS, default=list(SCANNERS), help="to adapt to; default: all")
    add("--adaptation", nargs="+", choices=ADAPTATIONS, default=list(ADAPTATIONS), help="default: all methods")
    add("--cases", nargs="+", type=int, default=[4], help="labelled cases of B, default: 4")
    add("--seed", nargs="+", type=int, default=[0, 1, 2], help="of the cases and the adaptation, default: 0 1 2")
    add("--adapt-iterations", type=int, default=50, help="default: 50")
    add("--jobs", type=int, default=2, help="adaptations at once, default: 2")
    args = parser.parse_args()
    if args.action.startswith(("adapt", "style")) and args.o is None:
        parser.error(f"{args.action} needs -o")
    if args.adapt_iterations % ITERATIONS_PER_EPOCH:
        parser.error(f"--adapt-iterations must be a multiple of {ITERATIONS_PER_EPOCH}")
    if args.action == "calibrate":
        print_calibration(args.method[0], args.iterations, args.strength)
    elif args.action == "loss":
        print_loss(args.method, args.iterations)
    elif args.action == "notice":
        for method in args.method:
            print_notice(method, args.iterations)
    elif args.action == "style":
        predict_styles(args.method[0], args.iterations, args.o)
        print_styles(args.o)
    elif args.action == "adapt":
        _adapt_all(args)
    elif args.action == "adapt-one":
        _adapt_one(args)
    else:
        print_adapted(args.o, args.seed)


def _adapt_one(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    adaptation, scanner, cases, seed = args.adaptation[0], args.scanner[0], args.cases[0], args.seed[0]
    result = adapt(adaptation, scanner, cases, seed, args.adapt_iterations, args.iterations)
    _write(_file(args, adaptation, scanner, cases, seed), result)


def _adapt_all(args: argparse.Namespace) -> None:
    """Each in a process of its own, on one thread."""
    args.o.mkdir(parents=True, exist_ok=True)
    for scanner in args.scanner:
        prepare_scanner(scanner)  # before several runs need it at once
        before = args.o / f"{scanner}_{NOTHING}_from{args.iterations}.json"
        if not before.is_file():
            _write(before, not_adapted(scanner, args.iterations))
    commands = {}
    for seed, cases, scanner, adaptation in product(args.seed, args.cases, args.scanner, args.adaptation):
        command = ["-m", "benchmarks.scanner", "adapt-one", "-o", str(args.o), "--adaptation", adaptation]
        command += ["--scanner", scanner, "--cases", f"{cases}", "--seed", f"{seed}"]
        command += ["--adapt-iterations", f"{args.adapt_iterations}", "--iterations", f"{args.iterations}"]
        commands[_file(args, adaptation, scanner, cases, seed)] = command
    run_all(commands, args.jobs)


def _write(path: Path, result: dict[str, Any]) -> None:
    with replacing(str(path)) as unfinished:
        Path(unfinished).write_text(json.dumps(result, indent=1), encoding="utf-8")


def _file(args: argparse.Namespace, adaptation: str, scanner: str, cases: int, seed: int) -> Path:
    name = f"{scanner}_{adaptation}_{cases}cases_{args.adapt_iterations}_seed{seed}_from{args.iterations}.json"
    return args.o / name


if __name__ == "__main__":
    main()
