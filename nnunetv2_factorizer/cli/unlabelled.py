"""`nnUNetv2_factorizer_unlabelled`: images without labels as a data set to pre-train on."""

import argparse
import shlex
from pathlib import Path

from nnunetv2_factorizer.cli.model_arguments import whole_number
from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.pretraining.unlabelled import register


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    args = _parser().parse_args()
    name, configurations = register(
        args.i,
        args.d,
        args.like,
        plans_name=args.p,
        configurations=args.c,
        dataset_name=args.dataset_name,
        processes=args.np,
        show_progress=not args.disable_progress_bar,
    )
    print("Pre-train with:")
    for configuration in configurations:
        command = ["nnUNetv2_train", str(int(name[7:10])), configuration, "all", "-p", args.p, "-tr", "TRAINER"]
        print(f"  {shlex.join(command)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Register images without labels as a data set of nnU-Net and preprocess them like another data "
        "set,\nthe target: spacing, normalisation, channels and axes are those of its plans.",
        epilog="""\
The images stay where they are; the target is only read. Images are named as the target's are: CASE_0000.nii.gz,
CASE_0001.nii.gz ..., one a channel, with the target's file ending. Labels beside them are not read.
A case is called FOLDER_CASE. Which folder it is from is the column "site" of case_metadata.json.

Give the same command again after an interruption: what is finished is kept. Give it with other folders to add images.
Images that cannot be used are skipped, with the reason in unlabelled_report.json beside the preprocessed images.
Those smaller than the patch are kept: nnU-Net pads them when it trains.

example:
  nnUNetv2_factorizer_unlabelled -i /archive/scannerA /archive/scannerB -d 501 -dataset_name Archive -like 4
  nnUNetv2_train 501 3d_fullres all -p nnUNetPlans -tr TRAINER
""",
    )
    add = parser.add_argument
    add("-i", nargs="+", type=Path, required=True, metavar="FOLDER", help="[REQUIRED] folders of images")
    add("-d", required=True, help="[REQUIRED] ID that is not in use, or a full name such as Dataset501_Archive")
    add("-like", required=True, metavar="TARGET", help="[REQUIRED] ID or name of the data set to fine-tune on later")
    add("-p", default="nnUNetPlans", help="the target's plans, default: nnUNetPlans")
    add("-c", nargs="+", help="configurations, default: 3d_fullres, or 2d where the plans have no other")
    add("-np", type=whole_number, default=4, help="processes, default: 4; fewer where memory is short")
    add("-dataset_name", metavar="NAME", help="second part of the name where -d is an ID, default: Unlabelled")
    add("--disable_progress_bar", action="store_true", help="for logs")
    return parser
