"""Segmentation of single images without labels: the tables and pictures of docs/segment.md.

    python -m benchmarks.segment run -o OUT [--data NAME ...] [--method NAME ...] [--seed 0 1 2 3 4] [--jobs 2]
    python -m benchmarks.segment table -o OUT
    python -m benchmarks.segment figure -o OUT

Each method on 12 images of three data sets: nuclei and slices of the hippocampus, from nnU-Net's raw folder, and the
texture phantom. Methods that train a network have five seeds, the others one. `run` uses the commands of the docs,
leaves out what OUT holds already and goes on where it was interrupted. One JSON file a run, with both protocols of
`evaluate`.
"""

import argparse
import json
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.measure import device, machine
from benchmarks.processes import run_all
from benchmarks.segment.data import DATA, prepare
from benchmarks.segment.pictures import draw
from benchmarks.segment.results import print_tables
from nnunetv2_factorizer.cli import segment
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.segment.methods import METHODS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "run-one", "table", "figure"))
    parser.add_argument("-o", type=Path, required=True, help="folder of the results")
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA), help="default: all")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    parser.add_argument("--seed", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="default: 0 1 2 3 4")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, default: 2")
    args = parser.parse_args()
    args.o.mkdir(parents=True, exist_ok=True)
    if args.action == "table":
        print_tables(args.o)
    elif args.action == "figure":
        for name in args.data:
            draw(args.o, name).savefig(args.o / f"{name}.png", dpi=120)
    elif args.action == "run-one":
        run_one(args.o, args.data[0], args.method[0], args.seed[0])
    else:
        _run_all(args)


def _file(out: Path, data: str, method: str, seed: int) -> Path:
    return out / f"{data}_{method}_seed{seed}.json"


def _run_all(args: argparse.Namespace) -> None:
    """Each run in a process of its own, on one thread."""
    commands = {}
    for name in args.data:
        prepare(args.o, name)  # before several runs need it at once
    for data, method, seed in product(args.data, args.method, args.seed):
        if seed != args.seed[0] and not METHODS[method].trained:
            continue
        command = ["-m", "benchmarks.segment", "run-one", "-o", str(args.o), "--data", data]
        commands[_file(args.o, data, method, seed)] = [*command, "--method", method, "--seed", f"{seed}"]
    run_all(commands, args.jobs)


def run_one(out: Path, data: str, method: str, seed: int) -> None:
    """Segments the images of a data set, evaluates the maps by both protocols, and writes the result of the run."""
    folder = prepare(out, data)
    maps = out / "maps" / _file(out, data, method, seed).stem
    images, quiet = str(folder / "imagesTr"), "--disable_progress_bar"
    _command(
        "-i", images, "-o", str(maps), "--method", method, "-k", str(DATA[data].k), "--seed", str(seed),
        "--continue_prediction", "-device", device().type, quiet,
    )  # fmt: skip
    result: dict[str, Any] = {"data": data, "method": method, "seed": seed, "machine": machine()}
    with tempfile.TemporaryDirectory() as scratch:
        for protocol in ("best-overlap", "leaky"):
            file = Path(scratch) / f"{protocol}.json"
            _command(
                "evaluate", "-i", images, "--predictions", str(maps), "--labels", str(folder / "labelsTr"),
                "--protocol", protocol, "-o", str(file), quiet,
            )  # fmt: skip
            result[protocol] = json.loads(file.read_text(encoding="utf-8"))
    cases = json.loads((maps / "segment.json").read_text(encoding="utf-8"))["cases"]
    result["seconds"] = {case: record["seconds"] for case, record in cases.items()}
    with replacing(str(_file(out, data, method, seed))) as unfinished:
        Path(unfinished).write_text(json.dumps(result, indent=1), encoding="utf-8")


def _command(*words: str) -> None:
    """`nnUNetv2_factorizer_segment`, in this process."""
    with mock.patch.object(sys, "argv", ["nnUNetv2_factorizer_segment", *words]):
        segment.main()


if __name__ == "__main__":
    main()
