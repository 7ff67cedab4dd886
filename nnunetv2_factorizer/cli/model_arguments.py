"""The arguments that our commands on a trained model share with `nnUNetv2_predict`."""

import argparse
from pathlib import Path
from typing import Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name
from nnunetv2.utilities.file_path_utilities import get_output_folder

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.model import load_model
from nnunetv2_factorizer.models.folders import nnunet_folder


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, which of its folds, and how it predicts."""
    add_model_choice(parser)
    parser.add_argument("-f", nargs="+", default=["0", "1", "2", "3", "4"], help="folds, default: 0 1 2 3 4")
    add_prediction_settings(parser)
    parser.add_argument("--disable_tta", action="store_true", help="no mirroring: faster, less accurate")


def add_model_choice(parser: argparse.ArgumentParser) -> None:
    """Which model, all but its folds."""
    add = parser.add_argument
    add("-d", help="dataset name or ID that the model was trained on; with -c")
    add("-c", help="configuration, such as 3d_fullres")
    add("-p", default="nnUNetPlans", help="plans, default: nnUNetPlans")
    add("-tr", default="nnUNetTrainer", help="trainer that the model was trained with, default: nnUNetTrainer")
    add("-m", type=Path, metavar="MODEL_FOLDER", help="in place of -d, -c, -p and -tr: DATASET/TRAINER__PLANS__CONFIG")
    add("-chk", default="checkpoint_final.pth", help="checkpoint, default: checkpoint_final.pth")


def add_prediction_settings(parser: argparse.ArgumentParser) -> None:
    """How a model predicts, all but mirroring."""
    add = parser.add_argument
    add("-step_size", type=float, default=0.5, help="of the sliding window, in patches; default: 0.5")
    add("--not_on_device", action="store_true", help="keep the results of a case in the computer's memory")
    add_running(parser)


def add_running(parser: argparse.ArgumentParser) -> None:
    """Where a command on a trained model runs, and whether it shows how far it is."""
    parser.add_argument("-device", choices=("cuda", "cpu", "mps"), default="cuda", help="default: cuda")
    parser.add_argument("--disable_progress_bar", action="store_true", help="for logs")


def model_folder(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Path:
    """The folder that `-m`, or `-d` and the others, name."""
    if (args.m is None) is (args.d is None):
        parser.error("give either -d DATASET with -c CONFIGURATION, or -m MODEL_FOLDER")
    if args.m is not None:
        return args.m
    if args.c is None:
        parser.error("-d needs -c, the configuration of the model")
    return results_folder(args.d, args.tr, args.p, args.c)


def results_folder(dataset: str, trainer: str, plans: str, configuration: str) -> Path:
    """Where nnU-Net keeps the model.

    Raises:
        UserError: `nnUNet_results` is not set, or nnU-Net knows no such data set.
    """
    nnunet_folder("nnUNet_results")
    try:
        return Path(get_output_folder(dataset, trainer, plans, configuration))
    except RuntimeError as error:
        remedy = "Give the ID or the name of one of your data sets with -d, or a folder with -m."
        raise UserError(str(error), remedy) from error


def dataset_name(name_or_id: str) -> str:
    """The full name of a data set.

    Raises:
        UserError: nnU-Net knows no such data set.
    """
    try:
        return str(maybe_convert_to_dataset_name(name_or_id))
    except (RuntimeError, ValueError) as error:
        raise UserError(str(error), "Give the ID or the name of one of your data sets with -d.") from error


def whole_number(text: str) -> int:
    """The type of an argument that counts something: from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def unique_folds(args: argparse.Namespace) -> list[str]:
    """Those of `-f`, each once."""
    return list(dict.fromkeys(args.f))


def predictor_of(folder: Path, args: argparse.Namespace, folds: list[str] | None = None) -> nnUNetPredictor:
    """The predictor of the model with the settings of the command; all of `-f`, or only these `folds`."""
    settings = prediction_settings(args, mirroring=not args.disable_tta)
    return load_model(folder, folds or unique_folds(args), args.chk, torch.device(args.device), **settings)


def prediction_settings(args: argparse.Namespace, mirroring: bool) -> dict[str, Any]:
    """Arguments of `nnUNetPredictor`.

    Raises:
        UserError: the step size is none, or there is no GPU.
    """
    if not 0 < args.step_size <= 1:
        raise UserError(
            f"-step_size must be greater than 0 and at most 1, got {args.step_size:g}.", "nnU-Net's is 0.5."
        )
    chosen_device(args)
    return {
        "tile_step_size": args.step_size,
        "use_mirroring": mirroring,
        "perform_everything_on_device": args.device == "cuda" and not args.not_on_device,
        "allow_tqdm": False,
    }


def chosen_device(args: argparse.Namespace) -> torch.device:
    """That of `-device`.

    Raises:
        UserError: there is no GPU.
    """
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch finds no GPU here.", "Give -device cpu, or see nnUNetv2_factorizer_doctor.")
    return torch.device(args.device)
