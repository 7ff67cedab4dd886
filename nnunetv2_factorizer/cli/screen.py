"""`nnUNetv2_factorizer_screen`: is an image like those that a model was trained on?"""

import argparse
import math
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_factorizer.cli.model_arguments import add_model_choice, add_running, chosen_device, model_folder
from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.images import find_cases
from nnunetv2_factorizer.inference.model import load_model
from nnunetv2_factorizer.models.atomic import new_folder
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.screen.fitting import fit_statistics
from nnunetv2_factorizer.screen.report import PAGE, Shown, reasons, write_report
from nnunetv2_factorizer.screen.scoring import THRESHOLD, Score
from nnunetv2_factorizer.screen.screening import screen_case
from nnunetv2_factorizer.screen.statistics import FILE, Statistics, read_statistics

SHIFTED = 3
"""Exit status where a case is shifted."""

PICTURED = 8
"""Cases whose slices are on the page."""

PRINTED = 30
"""Rows of the table on the terminal."""


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        description="Tell which images are unlike those that a model was trained on, before it predicts them. Works "
        "for Factorizers and for nnU-Net's own networks, in 2D and 3D."
    )
    commands = parser.add_subparsers(required=True, metavar="fit | run")
    _add_fit(commands)
    _add_run(commands)
    args = parser.parse_args()
    args.run(args)


def _fit(args: argparse.Namespace) -> None:
    folder = model_folder(args.parser, args)
    path = folder / f"fold_{args.f}" / FILE
    _check_replaceable(path)
    statistics = fit_statistics(
        _predictor(folder, args), folder, args.f, args.chk, args.by, show_progress=not args.disable_progress_bar
    )
    statistics.save(path)
    for entry in statistics.entries:
        print(f"{entry.cases} training cases" + ("" if args.by is None else f" with {args.by} {entry.value}"))
    print(f"Wrote {path}. {len(statistics.held_out)} held-out cases say what distances are usual.")
    command = ["nnUNetv2_factorizer_screen", "run", "-i", "IMAGES", "-o", "OUT", "-m", str(folder), "-f", args.f]
    if args.chk != args.parser.get_default("chk"):
        command += ["-chk", args.chk]
    print(f"Next: {shlex.join(command)}")


def _run(args: argparse.Namespace) -> None:
    folder = model_folder(args.parser, args)
    if not (math.isfinite(args.threshold) and args.threshold > 0):
        args.parser.error(f"--threshold must be a number above 0, got {args.threshold:g}")
    with new_folder(args.o) as output:
        statistics = read_statistics(folder, args.f)
        if args.chk != statistics.checkpoint:
            raise UserError(
                f"the statistics of fold {args.f} were made with {statistics.checkpoint}, not with {args.chk}.",
                f"Give -chk {statistics.checkpoint}, or make them again by `nnUNetv2_factorizer_screen fit`.",
            )
        predictor = _predictor(folder, args)
        cases = find_cases(args.i.absolute(), predictor.dataset_json["file_ending"])
        shown: list[Shown] = []
        scores: dict[str, Score] = {}
        work = partial(screen_case, predictor, statistics, args.threshold)
        for case in map_cases(work, cases, show_progress=not args.disable_progress_bar):
            scores[case.name] = case.score
            shown = sorted([*shown, case], key=lambda c: -c.score.distance)[:PICTURED]
        scores = dict(sorted(scores.items(), key=lambda item: -item[1].distance))
        write_report(output, scores, shown, statistics, args.threshold)
    _print(scores, statistics)
    number = sum(score.shifted for score in scores.values())
    print(f"{number} of {len(scores)} cases are shifted: their distance is above {args.threshold:g}.")
    print(f"Look at {args.o / PAGE}.")
    if number:
        raise SystemExit(SHIFTED)


def _print(scores: Mapping[str, Score], statistics: Statistics) -> None:
    width = max(4, *map(len, scores))
    nearest = "" if statistics.column is None else f"  {'nearest':10}"
    print(f"{'case':{width}} {'distance':>8}{nearest}  what is unusual")
    for name, score in list(scores.items())[:PRINTED]:
        value = "" if statistics.column is None else f"  {score.nearest!s:10}"
        print(f"{name:{width}} {score.distance:8.2f}{value}  {reasons(score)}".rstrip())
    if len(scores) > PRINTED:
        print(f"... and {len(scores) - PRINTED} more")


def _check_replaceable(path: Path) -> None:
    """Raises a `UserError` where there is a file that `fit` did not write."""
    if not path.exists():
        return
    try:
        ours = "checkpoint_sha256" in read_json(path)
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise UserError(f"{path} exists, is no statistics of the screen and was not changed.", "Move it away.")


def _predictor(folder: Path, args: argparse.Namespace) -> nnUNetPredictor:
    device = chosen_device(args)
    on_device = device.type == "cuda"
    settings = {"use_mirroring": False, "perform_everything_on_device": on_device, "allow_tqdm": False}
    return load_model(folder, (args.f,), args.chk, device, **settings)


def _add_fit(commands: Any) -> None:
    parser = commands.add_parser(
        "fit",
        help="keep what the training cases of a fold are like",
        description="Go through the preprocessed training cases of one fold, and keep mean and covariance of early "
        "features beside the checkpoint: MODEL_FOLDER/fold_X/screen.json. No image and no label is kept.",
    )
    parser.set_defaults(run=_fit, parser=parser)
    _add_model(parser)
    parser.add_argument(
        "--by",
        metavar="COLUMN",
        help="of case_metadata.json, such as site: statistics for each of its values; the nearest ones count",
    )
    add_running(parser)


def _add_run(commands: Any) -> None:
    parser = commands.add_parser(
        "run",
        help="compare images with the training cases",
        description="Compare images with the training cases. Writes OUT/screen.html, screen.json and screen.csv. "
        f"Exit status: 0, no case is shifted; {SHIFTED}, some case is; 1, an error; 2, wrong arguments.",
    )
    parser.set_defaults(run=_run, parser=parser)
    add = parser.add_argument
    add("-i", type=Path, required=True, help="[REQUIRED] images, named as nnU-Net asks for: CASE_0000.nii.gz, ...")
    add("-o", type=Path, required=True, metavar="OUT", help="[REQUIRED] folder to write, must not exist")
    _add_model(parser)
    add(
        "--threshold",
        type=float,
        default=THRESHOLD,
        help="a case with a larger distance is shifted; 95 %% of held-out training cases are below 1; default: 1",
    )
    add_running(parser)


def _add_model(parser: argparse.ArgumentParser) -> None:
    add_model_choice(parser)
    parser.add_argument("-f", default="0", metavar="FOLD", help="one fold, a number or all; default: 0")
