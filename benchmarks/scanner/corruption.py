"""Labels with errors of a known kind, for what cleans them: objects that are missing, too small or too large.

The truth is known, so that corrected labels can be compared with it. The errors of a case follow from its name.
"""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from nnunetv2_factorizer.case_metadata import FILE

DELETED, CLEAN = 0.3, 0.2
"""Shares of the objects, and of the cases."""
COLUMN = "labels"


def corrupted(labels: NDArray, seed: int, deleted: float = DELETED) -> NDArray:
    """Each connected object of each class is deleted with probability `deleted`, else eroded or dilated by a voxel.

    Dilation takes background only; an object that erosion would remove stays as it is.

    Args:
        labels: `(*S)`.
        seed: the same one gives the same errors.
        deleted: share of the objects.
    """
    rng, result = np.random.default_rng(seed), labels.copy()
    for label in np.unique(labels[labels > 0]):
        objects, number = ndimage.label(labels == label)
        for index in range(1, number + 1):
            before = objects == index
            fate = rng.choice(("deleted", "eroded", "dilated"), p=(deleted, (1 - deleted) / 2, (1 - deleted) / 2))
            if fate == "deleted":
                result[before] = 0
            elif fate == "dilated":
                result[ndimage.binary_dilation(before) & (result == 0) & (labels == 0)] = label
            elif (after := ndimage.binary_erosion(before)).any():
                result[before & ~after] = 0
    return result


def clean_cases(cases: Sequence[str], seed: int, share: float = CLEAN) -> set[str]:
    """The share of the cases whose labels stay as they are."""
    number = round(share * len(cases))
    return set(np.random.default_rng(seed).choice(sorted(cases), number, replace=False).tolist())


def corrupt_dataset(raw: Path, seed: int = 0) -> Path:
    """Corrupts `labelsTr` of a raw data set, a copy that may be changed; gives the folder that holds the truth.

    `case_metadata.json` says which cases are clean, for the attribute `column` of the trainers that clean labels.
    """
    truth = raw / "labelsTr_truth"
    (raw / "labelsTr").rename(truth)  # fails where there is one
    (raw / "labelsTr").mkdir()
    ending = json.loads((raw / "dataset.json").read_text(encoding="utf-8"))["file_ending"]
    files = {path.name.removesuffix(ending): path for path in sorted(truth.glob(f"*{ending}"))}
    clean = clean_cases(list(files), seed)
    for case, path in files.items():
        image = SimpleITK.ReadImage(str(path))
        labels = SimpleITK.GetArrayFromImage(image)
        if case not in clean:
            labels = corrupted(labels, zlib.crc32(f"{seed} {case}".encode()))
        written = SimpleITK.GetImageFromArray(labels)
        written.CopyInformation(image)
        SimpleITK.WriteImage(written, str(raw / "labelsTr" / path.name))
    metadata = {case: {COLUMN: "clean" if case in clean else "noisy"} for case in files}
    (raw / FILE).write_text(json.dumps(metadata, indent=2), encoding="utf-8")
    return truth
