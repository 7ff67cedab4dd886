"""`nnUNetv2_factorizer_lifelong`: data come in stages, and a small pool of models keeps what was learned."""

import argparse
from pathlib import Path
from typing import Any

from nnunetv2.inference.predict_from_raw_data import _getDefaultValue

from nnunetv2_factorizer.cli.model_arguments import (
    add_prediction_settings,
    add_running,
    chosen_device,
    dataset_name,
    prediction_settings,
)
from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.inference.images import find_cases
from nnunetv2_factorizer.lifelong import prediction, report, scores
from nnunetv2_factorizer.lifelong.methods import METHODS
from nnunetv2_factorizer.lifelong.methods.odex import HISTORIES
from nnunetv2_factorizer.lifelong.pool import FILE, read_pool
from nnunetv2_factorizer.lifelong.stage import StageData
from nnunetv2_factorizer.lifelong.training import DEFAULTS, Wanted, fill_row, train_stage
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json

PRINTED = 30
"""Rows of the table on the terminal."""


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        description="Train on data that come in stages, such as one scanner after another, without keeping old data, "
        "and predict each image with the model of the pool that has seen the most similar ones."
    )
    commands = parser.add_subparsers(required=True, metavar="train | predict | evaluate")
    _add_train(commands)
    _add_predict(commands)
    _add_evaluate(commands)
    args = parser.parse_args()
    args.run(args)


def _train(args: argparse.Namespace) -> None:
    for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
        nnunet_folder(variable)
    wanted = Wanted(
        folder=args.pool,
        data=StageData(dataset_name(args.d), args.p, args.f),
        device=chosen_device(args),
        method=args.method,
        history=args.history,
        configuration=args.c,
        trainer=args.tr,
        goes_on=args.c_flag,
        show_progress=not args.disable_progress_bar,
    )
    pool = train_stage(wanted)
    print(f"\n{report.write(args.pool, pool, scores.matrix(pool, args.pool))}")
    print(f"Next: nnUNetv2_factorizer_lifelong predict -i IMAGES -o OUT -pool {args.pool}")


def _predict(args: argparse.Namespace) -> None:
    if (args.npp == 0) is not (args.nps == 0) or min(args.npp, args.nps) < 0:
        args.parser.error(
            f"-npp and -nps are both 0 (one process for all) or both at least 1, got {args.npp}, {args.nps}"
        )
    settings, device = prediction_settings(args, mirroring=not args.disable_tta), chosen_device(args)
    settings["allow_tqdm"] = not args.disable_progress_bar
    folder = args.pool.absolute()
    pool = read_pool(folder)
    ending = read_json(folder / pool.eye.folder / "dataset.json")["file_ending"]
    cases = find_cases(args.i.absolute(), ending)
    taken = prediction.take_cases(pool, folder, cases, device, show_progress=not args.disable_progress_bar)
    args.o.mkdir(parents=True, exist_ok=True)
    prediction.write_table(args.o / prediction.TABLE, pool, taken)
    prediction.predict_cases(
        pool, folder, cases, taken, args.o.absolute(), device, settings, processes=(args.npp, args.nps),
        save_probabilities=args.save_probabilities, overwrite=not args.continue_prediction,
    )  # fmt: skip
    width = max(4, *(len(case.name) for case in cases))
    print(f"{'case':{width}} member distance")
    for name, of_case in list(taken.items())[:PRINTED]:
        print(f"{name:{width}} {of_case.member:6} {of_case.distance:8.2f}")
    if len(taken) > PRINTED:
        print(f"... and {len(taken) - PRINTED} more")
    print(f"Wrote {args.o}; {args.o / prediction.TABLE} says which member took which image.")


def _evaluate(args: argparse.Namespace) -> None:
    folder, device = args.pool.absolute(), chosen_device(args)
    pool = read_pool(folder)
    fill_row(pool, folder, device, show_progress=not args.disable_progress_bar)
    print(report.write(folder, pool, scores.matrix(pool, folder)))
    print(f"Wrote {' and '.join(str(args.pool / name) for name in report.FILES)}.")


def _add_train(commands: Any) -> None:
    parser = commands.add_parser(
        "train",
        help="train one stage, into a new pool or an existing one",
        description="Train one stage by nnU-Net's own training. The first stage starts from scratch, each other one "
        "from the nearest member of the pool. POOL/pool.json changes once, when the stage is trained; interrupted, the "
        "stage is not in the pool and goes on with --c. Before and after the training, held-out cases are segmented "
        "for the matrix of `evaluate`. -c, -tr, --method and --history are settings of the pool: later stages take "
        "them from it.",
    )
    parser.set_defaults(run=_train, parser=parser)
    add = parser.add_argument
    add("-d", required=True, help="[REQUIRED] name or ID of the data set of the stage, preprocessed; one a call")
    _add_pool(parser)
    add("-c", help="configuration, such as 3d_fullres; the first stage needs it")
    add("-p", default="nnUNetPlans", help="plans of this data set, default: nnUNetPlans. All stages share the plans of "
        "the first, moved by nnUNetv2_move_plans_between_datasets")  # fmt: skip
    add("-tr", help=f"family of trainers, the method's name is put behind it; default: {DEFAULTS['trainer']}")
    add("-f", default="0", metavar="FOLD", help="one fold, a number or all; default: 0. all leaves no held-out cases")
    add("--method", choices=METHODS, help="odex: the pool grows where a stage is new; the others keep one model: "
        f"sequential forgets, joint sees all old data, ewc and lwf none, rehearsal a few; default: "
        f"{DEFAULTS['method']}",
        )  # fmt: skip
    add("--history", choices=HISTORIES, help="how distances to the stages of a member are put together, default: "
        f"{DEFAULTS['history']}")  # fmt: skip
    add("--c", dest="c_flag", action="store_true", help="go on with this stage, which was interrupted")
    add_running(parser)


def _add_predict(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        help="predict images, each with the nearest member",
        description="Predict like nnUNetv2_predict, each image with the member of the pool whose stages it is most "
        f"like; bit for bit what nnUNetv2_predict gives with that member. OUT/{prediction.TABLE} says which it was.",
    )
    parser.set_defaults(run=_predict, parser=parser)
    add = parser.add_argument
    add("-i", type=Path, required=True, help="[REQUIRED] images, named as nnU-Net asks for: CASE_0000.nii.gz, ...")
    add("-o", type=Path, required=True, help="[REQUIRED] folder to write into; as with nnUNetv2_predict, files of the "
        "same images are replaced")  # fmt: skip
    _add_pool(parser)
    add_prediction_settings(parser)
    add("--disable_tta", action="store_true", help="no mirroring: faster, less accurate")
    add("--save_probabilities", action="store_true", help="as in nnUNetv2_predict")
    add("--continue_prediction", action="store_true", help="leave out images whose predictions are in -o already")
    for flag, what in (("-npp", "preprocessing"), ("-nps", "export")):
        default = _getDefaultValue(f"nnUNet_{flag[1:]}", int, 3)
        add(flag, type=int, default=default, help=f"processes for {what}, default: {default}; both 0: a single process")


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="the stage-by-stage matrix of Dice, then Dice, BWT and FWT",
        description="Print the matrix that `train` measured on held-out cases, and Dice, BWT and FWT. What is missing "
        f"of its last row is measured first. Writes {' and '.join(f'POOL/{name}' for name in report.FILES)}. "
        "BWT: after the last stage minus after its own, near 0 is good. FWT: after a stage minus before it, on it.",
    )
    parser.set_defaults(run=_evaluate, parser=parser)
    _add_pool(parser)
    add_running(parser)


def _add_pool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-pool", type=Path, required=True, metavar="FOLDER", help=f"[REQUIRED] folder of the pool, with its {FILE}"
    )
