"""`nnUNetv2_factorizer_predict_style`: `nnUNetv2_predict` for images of another scanner, without training."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch
from nnunetv2.inference.predict_from_raw_data import _getDefaultValue

from nnunetv2_factorizer.adaptation.style.bank import FILE, Bank
from nnunetv2_factorizer.adaptation.style.predictor import Gate, StylePredictor
from nnunetv2_factorizer.adaptation.style.preprocessing import Preprocessing
from nnunetv2_factorizer.adaptation.style.record import Record
from nnunetv2_factorizer.adaptation.style.srsim import require_piq, training_slices
from nnunetv2_factorizer.adaptation.style.transfer import (
    DEFAULT_DONORS,
    DEFAULT_DONORS_BY,
    DEFAULT_METHOD,
    DONORS_BY,
    METHODS,
    Transfer,
    choose_radius,
    needs_radius,
)
from nnunetv2_factorizer.cli.model_arguments import (
    add_model_arguments,
    model_folder,
    prediction_settings,
    unique_folds,
    whole_number,
)
from nnunetv2_factorizer.cli.style_bank import positive
from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.images import find_cases
from nnunetv2_factorizer.inference.model import load_into
from nnunetv2_factorizer.models.folders import require_checkpoint
from nnunetv2_factorizer.models.identity import sha256
from nnunetv2_factorizer.screen import read_statistics, score_image


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    parser = _parser()
    args = parser.parse_args()
    _check(parser, args)
    folder, folds = model_folder(parser, args), unique_folds(args)
    settings = prediction_settings(args, mirroring=not args.disable_tta)
    settings["allow_tqdm"] = not args.disable_progress_bar  # nnU-Net's bars, of the windows of an image
    predictor = StylePredictor(device=torch.device(args.device), **settings)
    load_into(predictor, folder, folds, args.chk)
    _check_previous_stage(predictor, args)
    if args.gate == "auto":
        predictor.gate = _gate(folder, folds[0], args.chk)
    if args.gate != "shut":
        predictor.transfer = _transfer(predictor, folder, folds[0], args)
    predictor.record = _begin(predictor, args)
    _predict(predictor, args)
    _tell(predictor.record, args)


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if (args.npp == 0) is not (args.nps == 0) or min(args.npp, args.nps) < 0:
        parser.error(f"-npp and -nps are both 0 (one process for all) or both at least 1, got {args.npp}, {args.nps}")
    if args.radius is not None and not needs_radius(args.method, args.donors_by):
        parser.error(f"--radius is of no use with --method {args.method} and --donors_by {args.donors_by}")


def _check_previous_stage(predictor: StylePredictor, args: argparse.Namespace) -> None:
    name = predictor.configuration_manager.previous_stage_name
    if name is not None and args.prev_stage_predictions is None:
        raise UserError(
            f"this model is the second stage of a cascade and needs segmentations of {name}.",
            "Predict with that configuration first, then give the folder with -prev_stage_predictions.",
        )


def _gate(folder: Path, fold: str, checkpoint: str) -> Gate:
    """The screen, with the statistics of a fold."""
    try:
        statistics = read_statistics(folder, fold)
        if statistics.checkpoint_sha256 != sha256(require_checkpoint(folder, fold, checkpoint)):
            raise UserError(
                f"the statistics of fold {fold} were made with {statistics.checkpoint}, not with {checkpoint}.",
                f"Give -chk {statistics.checkpoint}, or make them again with `nnUNetv2_factorizer_screen fit`.",
            )
    except UserError as error:
        remedy = f"{error.remedy}\nOr restyle every image, whether it needs it or not: --gate open."
        raise UserError(f"--gate auto asks the screen, but {error.cause}", remedy) from error
    return partial(score_image, statistics=statistics)


def _transfer(predictor: StylePredictor, folder: Path, fold: str, args: argparse.Namespace) -> Transfer:
    path = folder / f"fold_{fold}" / FILE
    bank = Bank.load(path)
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    bank.check_model(
        path, plans.plans_name, configuration.data_identifier,
        sha256(require_checkpoint(folder, fold, args.chk)), Preprocessing.of(configuration, predictor.dataset_json),
    )  # fmt: skip
    radius = choose_radius(bank, args.radius) if needs_radius(args.method, args.donors_by) else bank.radius
    if args.donors_by == "srsim":
        require_piq()
        slices = training_slices(
            bank, plans.dataset_name, configuration, fold, show_progress=not args.disable_progress_bar
        )
    else:
        slices = []
    if len(bank.styles) < args.donors:
        print(f"The style bank has {len(bank.styles)} training images, fewer than {args.donors} donors: all are.")
    return Transfer(bank, args.method, args.donors_by, args.donors, radius, slices)


def _begin(predictor: StylePredictor, args: argparse.Namespace) -> Record:
    """The output folder, with the record of what is going to be in it."""
    ending = predictor.dataset_json["file_ending"]
    if not args.i.is_dir():
        raise UserError(f"{args.i} is no folder.", "Give the folder of the images with -i.")
    names = [case.name + ending for case in find_cases(args.i, ending)]
    settings: dict[str, Any] = {"gate": args.gate}
    if (transfer := predictor.transfer) is not None:
        settings |= {"method": transfer.method, "donors": transfer.donors, "donors_by": transfer.donors_by}
        if needs_radius(transfer.method, transfer.donors_by):
            settings["radius"] = round(transfer.radius, 6)
    try:
        args.o.mkdir(parents=True, exist_ok=True)
        done = [name for name in names if (args.o / name).exists()]
        record = Record.begin(args.o, settings, done, continuing=args.continue_prediction)
    except OSError as error:
        raise UserError(f"{args.o} cannot be written: {error.strerror}.", "Give another folder with -o.") from error
    print("Style: " + ", ".join(f"{name} {value}" for name, value in settings.items()))
    return record


def _predict(predictor: StylePredictor, args: argparse.Namespace) -> None:
    """As `nnUNetv2_predict` does it."""
    how = {
        "save_probabilities": args.save_probabilities,
        "overwrite": not args.continue_prediction,
        "folder_with_segs_from_prev_stage": args.prev_stage_predictions,
    }
    if args.npp == 0:
        predictor.predict_from_files_sequential(str(args.i), str(args.o), **how)
    else:
        processes = {"num_processes_preprocessing": args.npp, "num_processes_segmentation_export": args.nps}
        predictor.predict_from_files(str(args.i), str(args.o), **how, **processes)


def _tell(record: Record, args: argparse.Namespace) -> None:
    if args.gate == "shut":
        print(f"Wrote {args.o}. The gate is shut: these are the predictions of nnUNetv2_predict.")
        return
    restyled = sum(entry["restyled"] for entry in record.cases.values())
    print(f"Wrote {args.o}: {restyled} of {len(record.cases)} images were restyled; {record.path} says which and why.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Predict like nnUNetv2_predict, but first give images of another scanner the style of training "
        "images; nothing is trained. The gate decides image by image: shut, the prediction is that of "
        "nnUNetv2_predict, bit for bit. Open, copies of the image in the styles of several similar training images "
        "are predicted, and their probabilities averaged. Needs nnUNetv2_factorizer_style_bank, and for the gate "
        "nnUNetv2_factorizer_screen fit. OUT/style.json says what was done to each image. The owner of the paper of "
        "--method fourier claims rights to it."
    )
    add = parser.add_argument
    add("-i", type=Path, required=True, help="[REQUIRED] images, named as nnU-Net asks for: CASE_0000.nii.gz, ...")
    add(
        "-o",
        type=Path,
        required=True,
        help="[REQUIRED] folder to write into; as with nnUNetv2_predict, files of the same images are replaced",
    )
    add_model_arguments(parser)
    add("--method", choices=METHODS, default=DEFAULT_METHOD, help="of restyling, default: %(default)s")
    add(
        "--gate",
        choices=("auto", "open", "shut"),
        default="auto",
        help="which images are restyled: auto: those that the screen calls shifted; open: all; shut: none; "
        "default: auto. Of several folds all predict; style bank and statistics of the screen are those of the first",
    )
    add("--donors", type=whole_number, default=DEFAULT_DONORS, help="training images an image, default: %(default)s")
    add(
        "--donors_by",
        choices=DONORS_BY,
        default=DEFAULT_DONORS_BY,
        help="which ones: amplitude: those with the most similar amplitudes, by the bank alone; srsim: with the most "
        "similar middle slice, needs the preprocessed training images and the package piq; random: any; "
        "default: %(default)s",
    )
    add(
        "--radius",
        type=positive,
        metavar="CYCLES_PER_MM",
        help="below which amplitudes are swapped and compared; one cycle in an image of 200 mm is 0.005; default: "
        "a few cycles in the typical training image, it is printed",
    )
    add("--save_probabilities", action="store_true", help="as in nnUNetv2_predict")
    add("--continue_prediction", action="store_true", help="leave out images whose predictions are in -o already")
    add("-prev_stage_predictions", metavar="FOLDER", help="of the previous stage of a cascade")
    for flag, what in (("-npp", "preprocessing"), ("-nps", "export")):
        default = _getDefaultValue(f"nnUNet_{flag[1:]}", int, 3)
        add(flag, type=int, default=default, help=f"processes for {what}, default: {default}; both 0: a single process")
    return parser
