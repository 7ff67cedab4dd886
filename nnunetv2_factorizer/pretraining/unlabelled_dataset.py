"""A data set without labels, as nnU-Net finds it: its name, its JSON files, and the target whose plans it follows."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_results
from nnunetv2.utilities.dataset_name_id_conversion import find_candidate_datasets, maybe_convert_to_dataset_name
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.pretraining.unlabelled_images import Images

METADATA = "case_metadata.json"
LIKE = "unlabelled_like"
"""Key in the dataset.json of data sets that are made here: no other is ever changed."""

FROM_TARGET = (
    "channel_names", "modality", "labels", "regions_class_order", "file_ending", "overwrite_image_reader_writer",
)  # fmt: skip
"""What images and networks depend on in a dataset.json."""


@dataclass(frozen=True)
class Target:
    """The data set whose plans are followed. It is only read."""

    name: str
    plans_name: str
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    fingerprint: Path


def read_target(like: str, plans_name: str) -> Target:
    """The target, from nnU-Net's preprocessed folder.

    Args:
        like: its ID or name.
        plans_name: of its plans.

    Raises:
        UserError: a variable of nnU-Net is not set, there is no such data set, or it was not planned.
    """
    preprocessed = nnunet_folder("nnUNet_preprocessed")
    try:
        name = str(maybe_convert_to_dataset_name(like))
    except (RuntimeError, ValueError) as error:
        raise UserError(str(error), "Give the ID or the name of one of your data sets with -like.") from error
    folder = preprocessed / name
    plans, fingerprint = folder / f"{plans_name}.json", folder / "dataset_fingerprint.json"
    for path in (folder / "dataset.json", fingerprint, plans):
        if not path.is_file():
            raise UserError(
                f"{name} was not planned and preprocessed with the plans {plans_name}: {path} does not exist.",
                f"Do so: nnUNetv2_plan_and_preprocess -d {name[7:10]}\nOr give other plans with -p.",
            )
    return Target(name, plans_name, read_json(plans), read_json(folder / "dataset.json"), fingerprint)


def choose_configurations(plans: dict[str, Any], wanted: Sequence[str] | None) -> list[str]:
    """Those to preprocess for, by default `3d_fullres` where there is one and `2d` elsewhere.

    Raises:
        UserError: the plans lack one, or none is left without the second stages of cascades.
    """
    manager = PlansManager(plans)
    available = manager.available_configurations
    chosen = list(dict.fromkeys(wanted or ["3d_fullres" if "3d_fullres" in available else "2d"]))
    if unknown := [name for name in chosen if name not in available]:
        raise UserError(
            f"the plans {manager.plans_name} have no configuration {unknown[0]}.",
            f"Give some of them with -c: {' '.join(available)}",
        )
    second = [name for name in chosen if manager.get_configuration(name).previous_stage_name is not None]
    for name in second:
        print(f"{name} is left out: the second stage of a cascade needs segmentations of the first.")
    if not (left := [name for name in chosen if name not in second]):
        raise UserError("no other configuration was given.", "Give another with -c, such as 3d_lowres or 3d_fullres.")
    return left


def choose_name(dataset: str, name: str | None, like: str) -> str:
    """The full name of the new data set, or of one that an earlier run made.

    Args:
        dataset: ID, or full name.
        name: the second part of the full name, where `dataset` is only an ID.
        like: the target's full name.

    Raises:
        UserError: it is no name of a data set, or it is one of a data set that was not made here like this target.
    """
    raw, preprocessed = nnunet_folder("nnUNet_raw"), nnunet_folder("nnUNet_preprocessed")
    if dataset.isdecimal() and 0 < int(dataset) < 1000:
        full, known = f"Dataset{int(dataset):03d}_{name or 'Unlabelled'}", name is not None
    else:
        full, known = dataset, True
    if not re.fullmatch(r"Dataset\d{3}_[\w.-]+", full):
        raise UserError(
            f"{full} is no name of a data set.",
            "Give an ID from 1 to 999, or a name such as Dataset501_Archive, with -d.",
        )
    there = [str(candidate) for candidate in find_candidate_datasets(int(full[7:10]))]
    if len(there) == 1 and not known:
        full = there[0]
    results = nnUNet_results.get()  # need not be set here
    made_like = _made_like([Path(folder) / full for folder in (raw, preprocessed, results) if folder])
    if [other for other in there if other != full] or (there and made_like is None):
        raise UserError(
            f"the ID {int(full[7:10])} is in use by {' and '.join(there)}. Nothing was changed.",
            "Give another ID with -d. Images can only be added to a data set that this command made.",
        )
    if made_like not in (None, "", like):
        raise UserError(
            f"{full} was made like {made_like}, not like {like}. Nothing was changed.",
            f"Give -like {made_like}, or another ID with -d.",
        )
    return full


def _made_like(places: Sequence[Path]) -> str | None:
    """Its target; None if it was not made here, and nothing for a folder that an interrupted run left empty."""
    dataset_json = places[0] / "dataset.json"
    if dataset_json.is_file():
        try:
            return read_json(dataset_json).get(LIKE)
        except ValueError:
            return None
    files = [path for folder in places if folder.is_dir() for path in folder.iterdir()]
    return None if [path for path in files if not path.name.startswith(".")] else ""


def read_registered(name: str) -> dict[str, Images]:
    """The cases that earlier runs have found."""
    raw = nnunet_folder("nnUNet_raw") / name
    if not (raw / "dataset.json").is_file():
        return {}
    files = read_json(raw / "dataset.json").get("dataset", {})
    metadata = _read_metadata(raw)
    return {
        case: Images(case, metadata[case]["site"], metadata[case]["source"], tuple(entry["images"]))
        for case, entry in files.items()
        if case in metadata
    }


def write_dataset(name: str, target: Target, cases: Iterable[Images]) -> None:
    """Writes the JSON files of the data set; the images stay where they are.

    Raises:
        UserError: there are plans of this name that say something else. Nothing is changed then.
    """
    raw, preprocessed = nnunet_folder("nnUNet_raw") / name, nnunet_folder("nnUNet_preprocessed") / name
    cases = sorted(cases, key=lambda case: case.name)
    plans = {**target.plans, "dataset_name": name}
    plans_file = preprocessed / f"{target.plans_name}.json"
    if plans_file.is_file() and read_json(plans_file) != plans:
        raise UserError(
            f"{plans_file} is not what the plans of {target.name} are now. Nothing was changed.",
            "If they were made anew: give another ID with -d, or delete that file and the folders of preprocessed "
            "data beside it.",
        )
    metadata = _read_metadata(raw)
    metadata = {case.name: {**metadata.get(case.name, {}), "site": case.site, "source": case.source} for case in cases}
    dataset_json = {key: target.dataset_json[key] for key in FROM_TARGET if key in target.dataset_json}
    dataset_json |= {"numTraining": len(cases), LIKE: target.name}
    # nnU-Net asks for a path of labels, too; there are none.
    files = {case.name: {"images": list(case.files), "label": f"labelsTr/no_labels_of_{case.name}"} for case in cases}
    for folder in (raw, preprocessed):
        folder.mkdir(parents=True, exist_ok=True)
    _write_json(raw / "dataset.json", {**dataset_json, "dataset": files})  # first: it says that the data set is ours
    _write_json(raw / METADATA, metadata)
    # Checkpoints hold the preprocessed folder's dataset.json: no paths, which may be a patient's name, in there.
    _write_json(preprocessed / "dataset.json", dataset_json)
    _write_json(preprocessed / METADATA, metadata)
    _write_json(plans_file, plans)
    with replacing(str(preprocessed / target.fingerprint.name)) as new:
        shutil.copyfile(target.fingerprint, new)


def _read_metadata(raw: Path) -> dict[str, dict[str, Any]]:
    path = raw / METADATA
    return read_json(path) if path.is_file() else {}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(str(path)) as new:
        Path(new).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
