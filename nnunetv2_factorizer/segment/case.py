"""One image from its files to its label map, its record and its picture, which are there together or not at all."""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.images import Case
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.segment.images import Reader, read_image
from nnunetv2_factorizer.segment.methods import METHODS
from nnunetv2_factorizer.segment.pictures import case_picture
from nnunetv2_factorizer.segment.pieces import segment_image
from nnunetv2_factorizer.segment.record import Record

CASES = "cases"
"""Folder beside the label maps: pictures among them might be taken for some."""


def segment_case(case: Case, *, record: Record, reader: Reader, device: torch.device, output: Path) -> dict[str, Any]:
    """Writes the label map of an image, in its geometry and format. One that is there is not made again.

    Args:
        case: the image.
        record: the settings.
        reader: of `find_images`.
        device: for a method that trains.
        output: folder; gets `CASE.nii.gz` or whatever the file ending is, `cases/CASE.json` and `cases/CASE.png`.

    Returns:
        What `segment_image` says, with `voxels` of each label, `seconds`, and `seconds_an_iteration` or None.

    Raises:
        UserError: the image cannot be segmented, or its label map is there without what was said of it.
    """
    path = output / (case.name + record.file_ending)
    if path.exists():
        return _read(output / CASES / f"{case.name}.json", path)
    image = read_image(case, reader)
    start = time.perf_counter()
    try:
        labels, result = segment_image(image, METHODS[record.method], record.k, record.seed, device)
    except UserError as error:
        raise UserError(f"{case.name}: {error.cause}", error.remedy) from error
    seconds = time.perf_counter() - start
    values, counts = np.unique(labels, return_counts=True)
    result |= {
        "voxels": {str(value): count for value, count in zip(values.tolist(), counts.tolist(), strict=True)},
        "seconds": round(seconds, 3),
        "seconds_an_iteration": round(seconds / result["iterations"], 4) if result["iterations"] else None,
    }
    with tempfile.TemporaryDirectory(dir=output, prefix=".segment_") as folder:
        scratch = Path(folder)
        (scratch / CASES).mkdir()
        (scratch / CASES / f"{case.name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        case_picture(image, labels).save(scratch / CASES / f"{case.name}.png")
        reader().write_seg(labels, str(scratch / path.name), image.properties)
        (output / CASES).mkdir(exist_ok=True)
        # The label map last: where it is, everything is.
        for made in sorted(scratch.rglob("*.*"), key=lambda file: file.name == path.name):
            os.replace(made, output / made.relative_to(scratch))
    return result


def _read(said: Path, labels: Path) -> dict[str, Any]:
    try:
        return read_json(said)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{labels} is there, but {said} is missing or damaged.", "Move the label map away, to have it made again."
        ) from error
