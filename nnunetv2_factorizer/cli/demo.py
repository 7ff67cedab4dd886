"""`nnUNetv2_factorizer_demo`: the whole pipeline on data that it generates, or on yours."""

import argparse
import shutil
import tempfile
from pathlib import Path

from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.demo.pipeline import dice_table, run_pipeline
from nnunetv2_factorizer.demo.raw_data import check_dataset, link_dataset, make_phantom
from nnunetv2_factorizer.errors import UserError


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        description="Generate a small multi-parametric MRI data set, then plan, preprocess, train, predict unseen "
        "cases and evaluate with nnU-Net's own commands, in a few minutes on a CPU. Nothing of yours is touched: the "
        "nnU-Net variables that you have set are not used."
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="keep data, model, predictions and logs in this folder, which must be new or empty; "
        "without it a temporary folder keeps the figure alone",
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="use this data set in nnU-Net's raw format (DatasetXXX_NAME) in place of generated data; "
        "its last cases are held back to be predicted",
    )
    args = parser.parse_args()
    if args.dataset:
        args.dataset = args.dataset.resolve()
        check_dataset(args.dataset)
    if args.keep and args.keep.exists() and (not args.keep.is_dir() or any(args.keep.iterdir())):
        raise UserError(f"--keep {args.keep}: the folder is not empty.", "Give a new one, or empty it yourself.")
    work = args.keep.resolve() if args.keep else Path(tempfile.mkdtemp(prefix="factorizer_demo_"))
    (work / "raw").mkdir(parents=True)
    try:
        dataset = link_dataset(args.dataset, work / "raw") if args.dataset else make_phantom(work / "raw")
        commands = run_pipeline(work, dataset)
        dice = dice_table(work, dataset)
    except UserError as error:
        raise UserError(error.cause, f"{error.remedy}\nWhat there is so far: {work}") from error
    _report(work, dataset, commands, dice, kept=args.keep is not None)
    if args.keep is None:
        for folder in ("raw", "preprocessed", "results", "predictions", "logs"):
            shutil.rmtree(work / folder)


def _report(work: Path, dataset: str, commands: list[str], dice: list[tuple[str, float]], kept: bool) -> None:
    print("\nMean Dice of the unseen cases")
    for name, value in dice:
        print(f"  {name:<20} {value:.3f}")
    print(f"\nFigure: {work / 'demo.png'}")
    if kept:
        print(f"Data, model, predictions and logs: {work}")
    print("\nThe commands that were run:")
    for command in commands:
        print(f"  {command}")
    print(
        "\nThe same with your own data, which nnU-Net knows as data set 42, say:\n"
        '  eval "$(nnUNetv2_factorizer_env)"\n'
        "  nnUNetv2_plan_and_preprocess -d 42      # not needed where nnU-Net has planned it already\n"
        "  nnUNetv2_train 42 3d_fullres 0 -tr nnUNetTrainerHybridFactorizer\n"
        "  nnUNetv2_predict -d 42 -c 3d_fullres -f 0 -tr nnUNetTrainerHybridFactorizer -i IMAGES -o PREDICTIONS"
    )
