"""The labels that a segmentation is compared with: the arguments of the commands that evaluate one."""

import argparse
from pathlib import Path
from typing import Any

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.json_files import read_json


def add_dataset_json(parser: argparse.ArgumentParser) -> None:
    """What the labels mean, as `nnUNetv2_evaluate_folder` is told it."""
    help_text = "dataset.json of the labels, default: the one beside the folder of the labels"
    parser.add_argument("-djfile", type=Path, help=help_text)


def dataset_json_of(args: argparse.Namespace) -> dict[str, Any]:
    """That of `-djfile`, or the one beside the folder of `--labels`.

    Raises:
        UserError: it does not exist, or is none of nnU-Net v2.
    """
    path: Path = args.djfile or args.labels.parent / "dataset.json"
    if not path.is_file():
        raise UserError(f"{path} does not exist.", "Give the dataset.json of the labels with -djfile.")
    try:
        dataset_json: dict[str, Any] = read_json(path)
        wrong = [f"there is no {key}" for key in ("labels", "file_ending") if key not in dataset_json]
    except ValueError as error:
        wrong = [str(error)]
    if wrong:
        raise UserError(f"{path} is no dataset.json of nnU-Net v2: {wrong[0]}.", "Give another with -djfile.")
    return dataset_json
