"""The cases of scanner A, what a scanner B makes of them, and how well they are segmented."""

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import SimpleITK
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.paths import nnUNet_raw
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.learning.data import folds, prepare
from benchmarks.scanner.models import FOLD, SOURCE
from benchmarks.scanner.scanners import scanned
from nnunetv2_factorizer.case_metadata import FILE

READER = SimpleITKIO()


@cache
def split(part: str) -> list[str]:
    """The cases of the fold: `"train"`, which models of scanner A have seen, or `"val"`."""
    dataset, _ = prepare(SOURCE)
    return list(folds(dataset)[FOLD][part])


def some() -> list[str]:
    """Each second validation case: what `style` and `adapt` predict, many times over."""
    return split("val")[::2]


@cache
def files() -> dict[str, dict[str, Any]]:
    """Image files and label file of each case."""
    dataset, _ = prepare(SOURCE)
    return get_filenames_of_train_images_and_targets(str(Path(nnUNet_raw) / dataset))


def read_scanned(case: str, scanner: str, strength: float | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The image `(C, *S)` as the scanner makes it, and nnU-Net's properties of it."""
    image, properties = READER.read_images(files()[case]["images"])
    return scanned(image, properties["spacing"], scanner, case, strength), properties


def write_scanned(path: Path, case: str, scanner: str) -> None:
    """The image as the scanner makes it, in the geometry of the one that was read."""
    image, _ = read_scanned(case, scanner)
    written = SimpleITK.GetImageFromArray(image[0])
    written.CopyInformation(SimpleITK.ReadImage(files()[case]["images"][0]))
    SimpleITK.WriteImage(written, str(path))


def write_raw(raw: Path, scanners: Mapping[str, str]) -> None:
    """A raw data set of cases as their scanners make them, with the labels of A and the scanner of each as its site."""
    for folder in ("imagesTr", "labelsTr"):
        (raw / folder).mkdir(parents=True, exist_ok=True)
    for case, scanner in scanners.items():
        write_scanned(raw / "imagesTr" / f"{case}_0000.nii.gz", case, scanner)
        shutil.copy(files()[case]["label"], raw / "labelsTr")
    sites = {case: {"site": scanner} for case, scanner in scanners.items()}
    (raw / FILE).write_text(json.dumps(sites), encoding="utf-8")
    dataset, _ = prepare(SOURCE)
    description = json.loads((Path(nnUNet_raw) / dataset / "dataset.json").read_text(encoding="utf-8"))
    description["numTraining"] = len(scanners)
    (raw / "dataset.json").write_text(json.dumps(description), encoding="utf-8")  # last: with it, all is there


def dice_of_cases(
    model: nnUNetPredictor, cases: Sequence[str], scanner: str, strength: float | None = None
) -> list[float]:
    """Mean over the labels, of each case."""
    return [
        dice(model.predict_single_npy_array(*read_scanned(case, scanner, strength)), truth(case))
        for case in tqdm(cases, desc=scanner, disable=None)
    ]


def truth(case: str) -> NDArray:
    """Its labels `(*S)`."""
    return READER.read_seg(files()[case]["label"])[0][0]


def dice(prediction: NDArray, truth: NDArray) -> float:
    """Mean over the labels of the truth."""
    labels = [label for label in np.unique(truth) if label > 0]
    overlaps = [2 * np.sum((prediction == label) & (truth == label)) for label in labels]
    sizes = [np.sum(prediction == label) + np.sum(truth == label) for label in labels]
    return mean(float(overlap / size) for overlap, size in zip(overlaps, sizes, strict=True))
