"""The corrected labels as files for a person: in the geometry of the given ones, with a report and a picture of each.

Where a correction changed nothing, a voxel has exactly the given label: labels are not resampled there and back. Both
the given and the corrected labels of the preprocessed image are brought to the geometry of the raw image, in nnU-Net's
way, and the raw labels change only where these two differ.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset
from numpy.typing import NDArray
from torch.nn import functional

from nnunetv2_factorizer.adaptation.cleaning.changes import NAMES, Changes, changes_of, write_picture
from nnunetv2_factorizer.adaptation.cleaning.corrected import labels_file
from nnunetv2_factorizer.models.atomic import new_folder

if TYPE_CHECKING:
    from nnunetv2_factorizer.adaptation.cleaning.trainer import Cleaning

JSON, PAGE, LABELS, PICTURES = "report.json", "report.md", "labels", "pictures"


def write_report(
    folder: Path, work: Path, dataset: nnUNetBaseDataset, trainer: "Cleaning", facts: dict[str, Any]
) -> list[str]:
    """Writes the folder with all cases that were changed, whole or not at all; gives their names.

    Args:
        folder: that must not exist.
        work: with the corrected labels of the preprocessed cases.
        dataset: the preprocessed cases as given.
        trainer: knows the geometry and the labels.
        facts: to be told in the report, too.
    """
    classes = {name: int(label) for name, label in trainer.dataset_json["labels"].items() if name != "background"}
    cases: dict[str, dict[str, Changes]] = {}
    with new_folder(folder) as unfinished:
        for name in (LABELS, PICTURES):
            (unfinished / name).mkdir()
        for case in dataset.identifiers:
            if not labels_file(work, case).is_file():
                continue
            image, given, _, properties = dataset.load_case(case)
            before, after = np.asarray(given[:])[0], trainer.shown(np.load(labels_file(work, case)))[0]
            if (before == after).all():
                continue
            picture, spacing = unfinished / PICTURES / f"{case}.png", trainer.configuration_manager.spacing
            write_picture(picture, np.asarray(image[0]), before, after, list(classes.values()), spacing)
            raw = _raw_file(trainer, case)
            reader = trainer.plans_manager.image_reader_writer_class()
            labels, geometry = reader.read_seg(str(raw))
            corrected = _in_raw_geometry(labels[0], before, after, trainer, properties)
            reader.write_seg(corrected, str(unfinished / LABELS / raw.name), geometry)
            cases[case] = changes_of(labels[0], corrected, classes)
        (unfinished / JSON).write_text(json.dumps({**facts, "cases": cases}, indent=2) + "\n", encoding="utf-8")
        (unfinished / PAGE).write_text(_page(cases, facts), encoding="utf-8")
    return list(cases)


def missing_raw_labels(trainer: "Cleaning", cases: Sequence[str]) -> list[str]:
    """The cases whose given labels nnU-Net's preprocessing has not left beside the preprocessed data."""
    return [case for case in cases if not _raw_file(trainer, case).is_file()]


def _raw_file(trainer: "Cleaning", case: str) -> Path:
    folder = Path(trainer.preprocessed_dataset_folder_base) / "gt_segmentations"
    return folder / f"{case}{trainer.dataset_json['file_ending']}"


def _in_raw_geometry(
    raw: NDArray, given: NDArray, corrected: NDArray, trainer: "Cleaning", properties: dict[str, Any]
) -> NDArray:
    """The raw labels `(*S)`, changed where the preprocessed ones were."""
    manager = trainer.label_manager
    before, after = (
        convert_predicted_logits_to_segmentation_with_correct_shape(
            functional.one_hot(torch.from_numpy(labels.clip(0).astype(np.int64)), manager.num_segmentation_heads)
            .movedim(-1, 0)
            .float(),
            trainer.plans_manager,
            trainer.configuration_manager,
            manager,
            properties,
        )
        for labels in (given, corrected)
    )
    return np.where(before != after, after, raw).astype(np.uint8 if raw.max() < 256 else np.uint16)


def _page(cases: dict[str, dict[str, Changes]], facts: dict[str, Any]) -> str:
    """Markdown: what is known of the training, then a table with a row for each case and class that changed."""
    lines = ["# Corrected labels", "", *(f"- {name.replace('_', ' ')}: {value}" for name, value in facts.items()), ""]
    lines += [f"| case | class | {' | '.join(name.replace('_', ' ') for name in NAMES)} |", "| --- " * 6 + "|"]
    for case, classes in cases.items():
        for name, changes in classes.items():
            if any(changes.values()):
                numbers = " | ".join(str(changes[key]) for key in NAMES)
                lines.append(f"| [{case}]({PICTURES}/{case}.png) | {name} | {numbers} |")
    lines += ["", *(f"## {case}\n\n![{case}]({PICTURES}/{case}.png)\n" for case in cases)]
    return "\n".join(lines)
