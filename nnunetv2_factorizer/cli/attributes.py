"""`nnUNetv2_factorizer_attributes`: a column of the metadata that nobody has recorded, estimated from the images."""

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.imageio.reader_writer_registry import (
    determine_reader_writer_from_dataset_json,
    determine_reader_writer_from_file_ending,
)
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
from numpy.typing import NDArray

from nnunetv2_factorizer.adaptation.pseudo_sites import describe_raw, group
from nnunetv2_factorizer.adaptation.skin_tone import fitzpatrick, typology_angle
from nnunetv2_factorizer.case_metadata import FILE, Value, metadata_folder, read_metadata
from nnunetv2_factorizer.cli.model_arguments import dataset_name, whole_number
from nnunetv2_factorizer.cli.told import user_errors_told
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.images import Case, find_cases
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json

SITE, TONE = "site", "skin_tone"
"""Names of the column where none is given."""

Reader = Callable[[list[str]], tuple[NDArray[np.float32], dict[str, object]]]
"""As `read_images` of nnU-Net's readers."""


@user_errors_told()
def main() -> None:
    """Entry point of the command."""
    parser = _parser()
    args = parser.parse_args()
    if (args.i is None) is (args.d is None):
        parser.error("give either -i IMAGES or -d DATASET")
    column = args.column or (TONE if args.sites is None else SITE)
    if args.o.exists():
        raise UserError(f"{args.o} exists and was not changed.", "Give another file with -o, or delete it.")
    cases, reader = _images_of_folder(args.i) if args.d is None else _images_of_dataset(args.d)
    recorded = {} if args.d is None else _recorded(args.d, column)
    look = typology_angle if args.sites is None else describe_raw
    seen: list[Any] = list(map_cases(partial(_look, look, reader), cases, show_progress=not args.disable_progress_bar))
    values: list[Value] = []
    if args.sites is None:
        values += [fitzpatrick(degrees) for degrees in seen]
        explained = "types of Fitzpatrick, 1 the lightest; an image in dark light is often called 6"
    else:
        groups, apart = group(seen, args.sites)
        values += [f"pseudo_{number}" for number in groups]
        explained = f"groups that look alike, not sites; mean silhouette {apart:.2f}: 1, far apart; 0, not apart"
    found: dict[str, dict[str, Value]] = {case.name: {column: v} for case, v in zip(cases, values, strict=True)}
    names = sorted(recorded.keys() | found.keys())
    metadata = {name: recorded.get(name, {}) | found.get(name, {}) for name in names}
    args.o.parent.mkdir(parents=True, exist_ok=True)
    with replacing(str(args.o)) as new:
        Path(new).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    print(f"{column}: {explained}.")
    for value, number in sorted(Counter(values).items(), key=lambda item: str(item[0])):
        print(f"  {value}: {number} of {len(cases)} cases")
    print(f"Wrote {args.o}. To use it, copy it beside dataset.json as {FILE}, in nnUNet_raw or nnUNet_preprocessed.")


def _look(look: Callable[[NDArray[np.float32], str], Any], reader: Reader, case: Case) -> Any:
    image, _ = reader(list(case.images))
    return look(image, case.name)


def _images_of_folder(folder: Path) -> tuple[list[Case], Reader]:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder.", "Give the folder of the images with -i.")
    endings = sorted({m[1] for path in folder.iterdir() if (m := re.search(r"_\d{4}(\.[^/]+)$", path.name))})
    if len(endings) > 1:
        raise UserError(
            f"{folder} holds images with several file endings: {', '.join(endings)}.", "Give one folder for each."
        )
    cases = find_cases(folder.absolute(), endings[0] if endings else ".nii.gz")
    try:
        found = determine_reader_writer_from_file_ending(endings[0], cases[0].images[0], verbose=False)
    except RuntimeError as error:
        raise _unreadable(cases[0]) from error
    return cases, found().read_images


def _images_of_dataset(name_or_id: str) -> tuple[list[Case], Reader]:
    """The training images."""
    raw = nnunet_folder("nnUNet_raw") / dataset_name(name_or_id)
    if not (raw / "dataset.json").is_file():
        raise UserError(
            f"{raw / 'dataset.json'} does not exist.", "Name a data set in nnUNet_raw, or a folder with -i."
        )
    description = read_json(raw / "dataset.json")
    if "dataset" in description:
        listed = get_filenames_of_train_images_and_targets(str(raw), description)
        cases = [Case(name, tuple(files["images"])) for name, files in sorted(listed.items())]
    else:
        cases = find_cases(raw / "imagesTr", description["file_ending"])
    try:
        found = determine_reader_writer_from_dataset_json(description, cases[0].images[0], verbose=False)
    except RuntimeError as error:
        raise _unreadable(cases[0]) from error
    return cases, found().read_images


def _unreadable(case: Case) -> UserError:
    return UserError(
        f"nnU-Net has no reader for {case.images[0]}.",
        "Give images of a file type that nnU-Net reads, such as .nii.gz.",
    )


def _recorded(name_or_id: str, column: str) -> dict[str, dict[str, Value]]:
    """What the data set's file has already, which goes into the new one, too."""
    path = metadata_folder(dataset_name(name_or_id)) / FILE
    if not path.is_file():
        return {}
    metadata = read_metadata(path)
    if there := [case for case, columns in metadata.items() if column in columns]:
        raise UserError(
            f"{path} has the column {column!r} already, such as {metadata[there[0]][column]!r} of {there[0]}.",
            "Give another name with --column.",
        )
    return metadata


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Estimate an attribute of each case that nobody has recorded, as a column of case_metadata.json:\n"
        "the skin type of colour images (R, G, B), or with --sites K groups of images that look alike.",
        epilog="""\
Skin type: the largest individual typology angle (ITA) of eight squares along the border, as a type of Fitzpatrick, 1 to
6; hair is left out. Groups: k-means on quantiles, contrast and noise of each channel, pseudo_1 being the largest.

A new file is written. With -d, it has the columns of the data set's own case_metadata.json, too.

examples:
  nnUNetv2_factorizer_attributes -d 12 -o tones.json
  nnUNetv2_factorizer_attributes -i IMAGES -o sites.json --sites 3
""",
    )
    add = parser.add_argument
    add("-i", type=Path, metavar="IMAGES", help="folder of images, named as nnU-Net asks for: CASE_0000.png, ...")
    add("-d", metavar="DATASET", help="in place of -i: name or ID of a data set, whose training images are taken")
    add("-o", type=Path, required=True, metavar="FILE", help="[REQUIRED] JSON file to write, must not exist")
    add("--column", metavar="NAME", help=f"name of the column, default: {TONE}, or with --sites {SITE}")
    add("--sites", type=_groups, metavar="K", help="number of groups of images that look alike, from 2")
    add("--disable_progress_bar", action="store_true", help="for logs")
    return parser


def _groups(text: str) -> int:
    if (number := whole_number(text)) < 2:
        raise argparse.ArgumentTypeError(f"must be at least 2, got {text}")
    return number
