"""`nnUNetv2_factorizer_export`: a trained model as a zip that stock nnU-Net installs and runs."""

import argparse
import shlex
from pathlib import Path

from nnunetv2.utilities.file_path_utilities import (
    convert_identifier_to_trainer_plans_config,
    convert_trainer_plans_config_to_identifier,
)

from nnunetv2_factorizer.cli.model_arguments import results_folder
from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.installation import install_command
from nnunetv2_factorizer.models.model_zip import export_models


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    parser = _parser()
    args = parser.parse_args()
    if (args.m is None) is (args.d is None):
        parser.error("give either -d DATASET with -tr TRAINER, or -m MODEL_FOLDER")
    if args.d is not None and args.tr is None:
        parser.error("-d needs -tr, the trainer that the model was trained with")
    folders = [args.m] if args.m else _model_folders(args.d, args.tr, args.p, args.c)
    exported = export_models(folders, args.o, args.f, args.chk)
    print(f"Wrote {args.o}. To predict on a machine without your trainers, with nnU-Net's variables set as usual:")
    print(f"  {install_command()}\n  {shlex.join(['nnUNetv2_install_pretrained_model_from_zip', args.o.name])}")
    for folder in exported:
        dataset, identifier = folder.split("/")
        _, plans, configuration = convert_identifier_to_trainer_plans_config(identifier)
        command = ["nnUNetv2_predict", "-d", dataset, "-p", plans, "-c", configuration, "-f", *args.f]
        print(f"  {shlex.join([*command, '-i', 'IMAGES', '-o', 'PREDICTIONS'])}")


def _model_folders(dataset: str, trainer: str, plans: str, configurations: list[str] | None) -> list[Path]:
    if configurations:
        return [results_folder(dataset, trainer, plans, configuration) for configuration in configurations]
    results = results_folder(dataset, trainer, plans, "3d_fullres").parent
    pattern = convert_trainer_plans_config_to_identifier(trainer, plans, "*")
    folders = sorted(results.glob(pattern))
    if not folders:
        raise UserError(
            f"{results / pattern}: there is no such model.",
            "Name what was trained with -d, -tr and -p, or its folder with -m.",
        )
    return folders


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Write a trained model into a zip for nnUNetv2_install_pretrained_model_from_zip. Like "
        "nnUNetv2_export_model_to_zip, but the plans in it name the network with all its arguments and the trainer is "
        "nnU-Net's own: to predict, another machine needs this package and no trainer. The name of the "
        "plans gets the trainer's added, so that no other model is replaced. Logits are compared first, for each fold; "
        "your model is only read."
    )
    add = parser.add_argument
    add("-d", help="dataset name or ID; with -tr")
    add("-m", type=Path, metavar="MODEL_FOLDER", help="in place of -d, -tr, -p and -c: DATASET/TRAINER__PLANS__CONFIG")
    add("-o", type=Path, required=True, help="[REQUIRED] zip to write; an existing one is not overwritten")
    add("-c", nargs="+", help="configurations, default: all that were trained with this trainer and plans")
    add("-tr", help="trainer that the model was trained with")
    add("-p", default="nnUNetPlans", help="plans, default: nnUNetPlans")
    add("-f", nargs="+", default=["0", "1", "2", "3", "4"], help="folds, default: 0 1 2 3 4")
    add("-chk", nargs="+", default=["checkpoint_final.pth"], help="checkpoints, default: checkpoint_final.pth")
    return parser
