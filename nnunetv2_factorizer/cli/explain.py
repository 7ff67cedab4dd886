"""`nnUNetv2_factorizer_explain`: what the components of a trained Factorizer see in images."""

import argparse
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_factorizer.cli.model_arguments import add_model_arguments, model_folder, predictor_of, unique_folds
from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.explain.case import explain_case
from nnunetv2_factorizer.explain.layers import DEFAULT, select_layers
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.images import Case, find_cases
from nnunetv2_factorizer.models.json_files import read_json

OF_NNUNET = ("dataset.json", "plans.json")
"""What nnU-Net puts beside predictions, for its evaluation and postprocessing."""


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    parser = _parser()
    args = parser.parse_args()
    layers = args.layers.split(",")
    folder = model_folder(parser, args)
    predictor = predictor_of(folder, args)
    select_layers(predictor.network, layers)  # before the first case, which may take minutes
    cases = _cases(args, predictor)
    _check_free(args, cases, predictor.dataset_json["file_ending"])
    _prepare(args.o, folder)
    todo = [case for case in cases if not (args.o / case.name).exists()]
    work = partial(
        explain_case, predictor=predictor, model=f"{folder.parent.name}/{folder.name}", folds=unique_folds(args),
        layers=layers, output=args.o, save_probabilities=args.save_probabilities,
    )  # fmt: skip
    reports = list(map_cases(work, todo, show_progress=not args.disable_progress_bar))
    print("\n".join(["Open in a browser:", *map(str, reports)]))


def _cases(args: argparse.Namespace, predictor: nnUNetPredictor) -> list[Case]:
    ending = predictor.dataset_json["file_ending"]
    return [
        replace(
            case,
            labels=_file(args.labels, case.name + ending, "--labels"),
            previous_stage=_file(args.prev_stage_predictions, case.name + ending, "-prev_stage_predictions"),
        )
        for case in find_cases(args.i, ending)
    ]


def _file(folder: Path | None, name: str, flag: str) -> Path | None:
    if folder is None:
        return None
    if not (folder / name).is_file():
        raise UserError(f"{folder / name} does not exist.", f"Give a folder that holds one for each case with {flag}.")
    return folder / name


def _check_free(args: argparse.Namespace, cases: list[Case], ending: str) -> None:
    """Raises a `UserError` where a case would overwrite something, one that is done and left out excepted."""
    endings = [ending, ".npz", ".pkl"] if args.save_probabilities else [ending]
    for case in cases:
        if (args.o / case.name).exists():
            if args.continue_prediction:
                continue
            remedy = "Give another folder with -o, or leave out what is explained already with --continue_prediction."
            raise UserError(f"{args.o / case.name} exists and was not changed.", remedy)
        for path in (args.o / (case.name + e) for e in endings):
            if path.exists():
                raise UserError(
                    f"{path} exists and was not changed; its explanation is not there.",
                    "Give another folder with -o, or move or delete this file.",
                )


def _prepare(output: Path, model: Path) -> None:
    """The output folder, with the files that nnU-Net puts there."""
    for name in OF_NNUNET:
        if (output / name).exists() and read_json(output / name) != read_json(model / name):
            raise UserError(
                f"{output / name} exists, is another than the model's and was not changed.",
                "Give another folder with -o.",
            )
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name in OF_NNUNET:
            if not (output / name).exists():
                shutil.copyfile(model / name, output / name)
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror}.", "Give another folder with -o.") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Predict like nnUNetv2_predict, and write what the components of the model's factorizations saw:\n"
        "a map of each component and of what was lost, in the geometry of the image, and a report for a browser.\n\n"
        "  OUT/CASE.nii.gz                          the prediction, equal to that of nnUNetv2_predict\n"
        "  OUT/CASE/report.html, report.json        the report, and every number in it\n"
        "  OUT/CASE/fold_0/LAYER/head_0.nii.gz, ..., residual.nii.gz",
    )
    add = parser.add_argument
    add("-i", type=Path, required=True, help="[REQUIRED] images, named as nnU-Net asks for: CASE_0000.nii.gz, ...")
    add("-o", type=Path, required=True, help="[REQUIRED] folder to write into; no case in it is overwritten")
    add_model_arguments(parser)
    add(
        "--layers",
        default=",".join(DEFAULT),
        help="blocks such as encoder.stages.0.0, separated by commas, or first, bottleneck, last, all; "
        "default: %(default)s",
    )
    add(
        "--labels",
        type=Path,
        metavar="FOLDER",
        help="segmentations to compare the components with; default: the predictions",
    )
    add("-prev_stage_predictions", type=Path, metavar="FOLDER", help="of the previous stage of a cascade")
    add("--save_probabilities", action="store_true", help="as in nnUNetv2_predict")
    add("--continue_prediction", action="store_true", help="leave out cases that are done")
    return parser
