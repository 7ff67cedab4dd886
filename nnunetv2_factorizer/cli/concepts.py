"""`nnUNetv2_factorizer_concepts`: segmentation without labels by the features of a trained model."""

import argparse
import dataclasses
import json
import shlex
from functools import partial
from glob import escape
from pathlib import Path
from typing import Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_factorizer.cli.label_arguments import add_dataset_json, dataset_json_of
from nnunetv2_factorizer.cli.model_arguments import (
    add_model_choice,
    add_prediction_settings,
    model_folder,
    prediction_settings,
    whole_number,
)
from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.concepts import evaluation
from nnunetv2_factorizer.concepts.dictionary import Dictionary, ModelIdentity
from nnunetv2_factorizer.concepts.fitting import fit_dictionary
from nnunetv2_factorizer.concepts.gallery import GALLERY, write_gallery
from nnunetv2_factorizer.concepts.predictions import (
    PREDICTIONS,
    PredictionRecord,
    dictionary_sha256,
    tables,
)
from nnunetv2_factorizer.concepts.segmentation import MODES, Concepts, segment_case
from nnunetv2_factorizer.concepts.stages import VOXELS, Stage, select_stage
from nnunetv2_factorizer.concepts.training_images import training_cases
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.images import Case, find_cases
from nnunetv2_factorizer.inference.labels import label_names
from nnunetv2_factorizer.inference.model import Load, load_model_once
from nnunetv2_factorizer.inference.names import read_names
from nnunetv2_factorizer.models.atomic import new_folder, replacing
from nnunetv2_factorizer.models.folders import without_task

PAGES = "gallery"
"""Folder beside predictions: pictures among them might be taken for some."""


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        description="Segment images without labels: factorize the features of a trained model into concepts (F-SEG). "
        "Works for Factorizers and for nnU-Net's own networks, in 2D and 3D."
    )
    commands = parser.add_subparsers(required=True, metavar="fit | predict | evaluate")
    for add in (_add_fit, _add_predict, _add_evaluate):
        add(commands)
    args = parser.parse_args()
    args.run(args)


def _fit(args: argparse.Namespace) -> None:
    if not 0 <= args.seed < 2**32:
        args.parser.error(f"--seed must be at least 0 and less than 2**32, got {args.seed}")
    if args.stage is not None and args.size is not None:
        args.parser.error("give either --stage or --size, by which a stage is chosen")
    folder = model_folder(args.parser, args)
    checkpoint = without_task(folder, args.f, args.chk)
    load = _load(folder, args.f, checkpoint, args, mirroring=False)
    with new_folder(args.o) as output:
        predictor = load()
        stage = select_stage(predictor, args.stage, args.size)
        _print_choice(args, checkpoint, stage)
        identity = ModelIdentity.of(predictor, folder, args.f, checkpoint)
        cases = _cases(args.i, predictor) if args.i else training_cases(predictor, args.f)
        dictionary = fit_dictionary(
            load, identity, stage.name, cases, args.k, seed=args.seed, scratch=output, scheduler=args.scheduler,
            show_progress=not args.disable_progress_bar,
        )  # fmt: skip
        dictionary.save(output)
        write_gallery(dictionary, {}, output)
    tile = " x ".join(map(str, dictionary.tile_size.tolist()))
    print(f"Wrote {args.o}: {args.k} categories of {stage.name}, in tiles of {tile} voxels, from {len(cases)} images.")
    print(f"Look at {args.o / GALLERY}. For structures smaller than a tile choose a smaller --size.")
    if args.k > (channels := dictionary.centres.shape[1]):
        print(f"With more categories than channels ({channels}) weights may not be unique; compare a -k of {channels}.")
    command = ["nnUNetv2_factorizer_concepts", "predict", "-i", "IMAGES", "-o", "PREDICTIONS"]
    print(f"Next: {shlex.join([*command, '--dictionary', str(args.o)])}")


def _print_choice(args: argparse.Namespace, checkpoint: str, stage: Stage) -> None:
    """Which weights and which stage are looked at, where the command chose them."""
    if checkpoint != args.chk:
        print(f"This model is a pre-training: {checkpoint} is taken, which is without the heads of its task.")
    if args.stage is None:
        voxels = " x ".join(map(str, stage.position))
        wanted = f"{VOXELS} voxels a side" if args.size is None else f"{args.size:g} mm"
        print(
            f"{stage.name} is the deepest stage whose positions have at most {wanted}: {voxels} voxels, as much room "
            f"as {stage.size:.3g} mm a side. Earlier versions took the second to last stage: --stage gives it, "
            "and dictionaries that they made keep theirs."
        )


def _predict(args: argparse.Namespace) -> None:
    dictionary = Dictionary.load(args.dictionary)
    number = len(dictionary.centres)
    names = read_names(args.names, number) if args.names else {}
    made = dictionary.identity
    folder = args.m or Path(made.model)
    load = _load(folder, made.fold, made.checkpoint, args, mirroring=not args.disable_tta)
    predictor = load()
    dictionary.check_model(ModelIdentity.of(predictor, folder, made.fold, made.checkpoint))
    concepts = Concepts(select_stage(predictor, dictionary.stage).name, dictionary.centres, args.mode, args.components)
    cases = _cases(args.i, predictor)
    record = PredictionRecord(dictionary_sha256(args.dictionary), args.mode, number, names, {})
    _prepare(args.o, cases, record, continuing=args.continue_prediction)
    work = partial(segment_case, load=load, concepts=concepts, output=args.o.absolute(), soft=args.soft)
    counts = list(map_cases(work, cases, scheduler=args.scheduler, show_progress=not args.disable_progress_bar))
    voxels = {case.name: found for case, found in zip(cases, counts, strict=True)}
    dataclasses.replace(record, cases=voxels).save(args.o)
    write_gallery(dictionary, names, args.o / PAGES)
    print(f"Wrote {len(cases)} segmentations into {args.o}. {args.o / PAGES / GALLERY} shows what the categories are.")


def _prepare(output: Path, cases: list[Case], record: PredictionRecord, *, continuing: bool) -> None:
    """The output folder, with the record of what is going to be in it."""
    if continuing and (output / PREDICTIONS).exists():
        begun = PredictionRecord.load(output)
        if (begun.dictionary_sha256, begun.mode) != (record.dictionary_sha256, record.mode):
            raise UserError(
                f"{output} was begun in mode {begun.mode} with the dictionary of SHA-256 {begun.dictionary_sha256}.",
                "Go on with these, or give another folder with -o.",
            )
    else:
        of_cases = (path for case in cases for path in output.glob(f"{escape(case.name)}.*"))
        for path in (output / PREDICTIONS, output / PAGES, output / "soft", *of_cases):
            if path.exists():
                remedy = "Give another folder with -o, or go on with a prediction of yours by --continue_prediction."
                raise UserError(f"{path} exists and was not changed.", remedy)
    output.mkdir(parents=True, exist_ok=True)
    record.save(output)


def _evaluate(args: argparse.Namespace) -> None:
    if (args.fit_predictions is None) is not (args.fit_labels is None):
        args.parser.error("--fit_predictions and --fit_labels go together")
    if args.protocol == "probe" and args.dictionary is None:
        args.parser.error("--protocol probe needs --dictionary, whose centres it classifies")
    output = args.o or args.predictions / f"evaluation_{args.protocol}.json"
    if output.exists():
        raise UserError(f"{output} exists and was not changed.", "Give another file with -o.")
    dataset_json = dataset_json_of(args)
    count = partial(tables, dataset_json=dataset_json, show_progress=not args.disable_progress_bar)
    record, scored = count(args.predictions, args.labels)
    fit_record, fitted = count(args.fit_predictions, args.fit_labels) if args.fit_predictions else (record, scored)
    made_with = {record.dictionary_sha256, fit_record.dictionary_sha256}
    if args.dictionary is not None:
        made_with.add(dictionary_sha256(args.dictionary))
    if len(made_with) > 1:
        raise UserError("the folders were made with different dictionaries.", "Predict again with one dictionary.")
    centres = Dictionary.load(args.dictionary).centres if args.dictionary else None
    columns = evaluation.decide(args.protocol, list(fitted.values()), centres, args.threshold)
    names, _ = label_names(dataset_json)
    result = evaluation.summarise(list(scored), names, list(scored.values()), columns)
    decided_on = str(args.fit_predictions or args.predictions)
    header = {"protocol": args.protocol, "mode": record.mode, "decided_on": decided_on, "names": record.names}
    with replacing(str(output)) as unfinished:
        Path(unfinished).write_text(json.dumps(header | result, indent=2) + "\n", encoding="utf-8")
    _print_scores(result, len(scored))
    if not args.fit_predictions:
        print("Categories were given labels on the same images, which flatters: see --fit_predictions.")
    print(f"Wrote {output}.")


def _print_scores(result: dict[str, Any], number: int) -> None:
    print(f"{'label':20} {'Dice':>7} {'F1':>7}   ({number} images)")
    for label, scores in {**result["mean"], "mean of foreground": result["foreground_mean"]}.items():
        dice, f1 = ("-" if value is None else f"{value:.4f}" for value in (scores["Dice"], scores["F1"]))
        print(f"{label:20} {dice:>7} {f1:>7}")


def _load(folder: Path, fold: str, checkpoint: str, args: argparse.Namespace, mirroring: bool) -> Load:
    """What gives the predictor, here and in Dask's workers."""
    if not folder.is_dir():
        raise UserError(f"the model {folder} does not exist.", "Say where it is with -m.")
    settings = prediction_settings(args, mirroring)
    device = torch.device(args.device)
    return partial(load_model_once, folder.absolute(), (fold,), checkpoint, device, **settings)


def _cases(folder: Path, predictor: nnUNetPredictor) -> list[Case]:
    return find_cases(folder.absolute(), predictor.dataset_json["file_ending"])


def _add_fit(commands: Any) -> None:
    parser = commands.add_parser(
        "fit",
        help="make a dictionary of concepts from images",
        description="Cluster the features of a trained model on the training images of the fold; no labels are opened. "
        "Writes DICT/dictionary.npz and .json, and a gallery of the categories: gallery.html and gallery.png. "
        "A pre-training without labels is a model, too: name its trainer with -tr.",
    )
    parser.set_defaults(run=_fit, parser=parser)
    add = parser.add_argument
    add("-o", type=Path, required=True, metavar="DICT", help="[REQUIRED] folder to write, must not exist")
    add_model_choice(parser)
    add("-f", required=True, metavar="FOLD", help="[REQUIRED] one fold: features of two networks have no common axes")
    add("-i", type=Path, metavar="FOLDER", help="other images, named as nnU-Net asks for")
    add(
        "--size",
        type=float,
        metavar="MM",
        help="of what you look for: the deepest stage is taken whose positions are not larger; default: 4 voxels",
    )
    add("--stage", help="in place of --size: such as encoder.stages.2, 0 is the highest resolution")
    add("-k", type=whole_number, default=64, help="number of categories, default: 64")
    add("--seed", type=int, default=0, help="of the clustering, default: 0")
    _add_running(parser)


def _add_predict(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        help="segment images into the categories of a dictionary",
        description="Segment images into the categories of a dictionary, 1 to k; 0 is where no concept has a weight. "
        "Preprocessing, sliding window and geometry are those of nnUNetv2_predict.",
    )
    parser.set_defaults(run=_predict, parser=parser)
    add = parser.add_argument
    add("-i", type=Path, required=True, help="[REQUIRED] images, named as nnU-Net asks for: CASE_0000.nii.gz, ...")
    add("-o", type=Path, required=True, help="[REQUIRED] folder to write into; nothing in it is overwritten")
    add("--dictionary", type=Path, required=True, metavar="DICT", help="[REQUIRED] folder that fit wrote")
    add("-m", type=Path, metavar="MODEL_FOLDER", help="where the dictionary's model is, if it was moved")
    add(
        "--mode",
        choices=MODES,
        default="fixed",
        help="fixed: features as non-negative combinations of the centres; assign: a factorization of each patch, "
        "whose components go to the most similar centre; default: fixed",
    )
    add("--components", type=whole_number, default=8, help="of each patch with --mode assign, default: 8")
    add(
        "--soft",
        action="store_true",
        help="write the weights of each category, too (with assign, shares of votes): OUT/soft/CASE_001.nii.gz, ...",
    )
    add("--continue_prediction", action="store_true", help="leave out images whose segmentations are in -o already")
    add("--names", type=Path, metavar="JSON", help='names of categories, such as {"1": "grey matter"}')
    add("--disable_tta", action="store_true", help="no mirroring: faster, less accurate")
    _add_running(parser)


def _add_running(parser: argparse.ArgumentParser) -> None:
    add_prediction_settings(parser)
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask scheduler whose workers see the same files")


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="compare categories with labels",
        description="Decide which label each category stands for, then compute Dice (mean of images) and F1 (all "
        "voxels together) of each label. For honest numbers let other images decide: --fit_predictions, --fit_labels.",
    )
    parser.set_defaults(run=_evaluate, parser=parser)
    add = parser.add_argument
    add("--predictions", type=Path, required=True, help="[REQUIRED] folder that predict wrote")
    add("--labels", type=Path, required=True, help="[REQUIRED] folder with a label file for each of them")
    add("--fit_predictions", type=Path, help="predictions that decide; default: those that are scored")
    add("--fit_labels", type=Path, help="their labels")
    add(
        "--protocol",
        choices=evaluation.PROTOCOLS,
        default="matching",
        help="matching: the label with most voxels of the category; matching-normalised: voxels weighted by the "
        "inverse frequency of their label; probe: a linear classifier of the centres; default: matching",
    )
    add("--dictionary", type=Path, metavar="DICT", help="folder that fit wrote, for probe")
    add("--threshold", type=float, default=0.5, help="share of a label from which probe learns, default: 0.5")
    add_dataset_json(parser)
    add("-o", type=Path, help="JSON file to write, default: PREDICTIONS/evaluation_PROTOCOL.json")
    add("--disable_progress_bar", action="store_true", help="for logs")
