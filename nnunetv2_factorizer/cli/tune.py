"""`nnUNetv2_factorizer_tune`: a trained Factorizer made faster without training it again."""

import argparse
import shlex
from pathlib import Path

from nnunetv2_factorizer.cli.model_arguments import (
    add_model_arguments,
    model_folder,
    predictor_of,
    unique_folds,
    whole_number,
)
from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.models.trained import read_model
from nnunetv2_factorizer.tune.evaluate import validation_cases
from nnunetv2_factorizer.tune.metrics import require_monai
from nnunetv2_factorizer.tune.model_folder import check_free, plans_name, write_model
from nnunetv2_factorizer.tune.report import findings, front_table, prepare_folder, write_report
from nnunetv2_factorizer.tune.settings import SWEEPS
from nnunetv2_factorizer.tune.tuning import settings_of, tune


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    parser = _parser()
    args = parser.parse_args()
    require_monai()
    folder, folds = model_folder(parser, args), unique_folds(args)
    model = read_model(folder, folds, args.chk)
    settings = settings_of(model, [name for entry in args.sweep for name in entry.split(",")])
    cases = validation_cases(model, args.num_cases)
    check_free(model, settings)
    prepare_folder(args.o)
    predictors = {fold: predictor_of(folder, args, [fold]) for fold in folds}
    show_progress = not args.disable_progress_bar
    tuning = tune(model, predictors, cases, settings, args.budget_drop, show_progress=show_progress)
    about = {"model": str(folder), "options": {name: str(value) for name, value in vars(args).items()}}
    write_report(args.o, tuning, about)
    written = write_model(model, tuning.chosen, args.chk)
    print("\n" + "\n\n".join([front_table(tuning), *findings(tuning)]))
    print(f"\n{args.o} holds the report, {written} the chosen setting. To predict with it, without a trainer of ours:")
    command = ["nnUNetv2_predict", "-d", model.plans["dataset_name"], "-p", plans_name(model, tuning.chosen)]
    command += ["-c", model.configuration, "-f", *folds, "-chk", args.chk, "-i", "IMAGES", "-o", "PREDICTIONS"]
    print(f"  {shlex.join(command)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure what a trained model loses and gains by other iterations, ranks, solvers of its NMF, and\n"
        "by blocks without it, on the validation cases of its folds: Dice, HD95 and seconds of the sliding\n"
        "window (never compiled, whatever nnUNet_compile says). Then write the fastest setting that keeps\n"
        "the Dice as a model of its own. The trained model is only read.\n\n"
        "  OUT/tune.json, tune.md, tune.png          every number, the tables, a panel a sweep\n"
        "  nnUNet_results/DATASET/nnUNetTrainer__PLANS_SETTING__CONFIGURATION    for stock nnUNetv2_predict",
    )
    add = parser.add_argument
    add("-o", type=Path, required=True, help="[REQUIRED] folder for the report; an existing report is not overwritten")
    add_model_arguments(parser)
    add(
        "--sweep",
        nargs="+",
        default=list(SWEEPS),
        metavar="SWEEP",
        help=f"some of {', '.join(SWEEPS)}; default: all. The trained setting and no NMF at all are always measured",
    )
    add("--budget-drop", type=float, default=0.005, help="mean Dice that may be lost, default: 0.005")
    add(
        "-num_cases",
        type=whole_number,
        metavar="N",
        help="only the first N validation cases of each fold, for a quick look",
    )
    return parser
