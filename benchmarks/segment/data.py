"""The three data sets, as 2D images in nnU-Net's raw format: bright nuclei, a hard organ, and a control.

What a method of single images may gain lies between them: intensity is enough for the nuclei, and says nothing of the
texture phantom. The hippocampus has the intensities of its surroundings, and borders that a person knows of.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image

from nnunetv2_factorizer.demo import texture
from nnunetv2_factorizer.models.folders import nnunet_folder

IMAGES = 12
"""Of each data set."""

NUCLEI, HIPPOCAMPUS = "Dataset041_NucleiFluorescence", "Dataset004_Hippocampus"
DARK, BRIGHT = 0.5, 99.5
"""Percentiles of a slice that become black and white."""


def nuclei(folder: Path) -> None:
    """Every so many of the RGB images, as they are."""
    raw, description = _new(folder, NUCLEI)
    for case in _some(raw / "labelsTr", ".png"):
        for image in sorted((raw / "imagesTr").glob(f"{case}_????.png")):
            shutil.copy(image, folder / "imagesTr")
        shutil.copy(raw / "labelsTr" / f"{case}.png", folder / "labelsTr")
    _describe(folder, description["channel_names"], description["labels"])


def hippocampus(folder: Path) -> None:
    """Of every so many volumes the slice in the middle of those that show the hippocampus, in 256 shades of grey."""
    raw, description = _new(folder, HIPPOCAMPUS)
    for case in _some(raw / "labelsTr", ".nii.gz"):
        labels = _volume(raw / "labelsTr" / f"{case}.nii.gz")
        slices = np.flatnonzero((labels > 0).any((1, 2)))
        middle = slices[len(slices) // 2]
        image = _volume(raw / "imagesTr" / f"{case}_0000.nii.gz")[middle].astype(float)
        black, white = np.percentile(image, (DARK, BRIGHT))
        grey = (255 * (image - black) / max(white - black, 1e-9)).round().clip(0, 255)
        Image.fromarray(grey.astype(np.uint8)).save(folder / "imagesTr" / f"{case}_0000.png")
        Image.fromarray(labels[middle].astype(np.uint8)).save(folder / "labelsTr" / f"{case}.png")
    _describe(folder, {"0": "MRI"}, description["labels"])


@dataclass(frozen=True)
class Data:
    """A data set.

    Attributes:
        write: makes the folder of it.
        k: labels, background included: the number of segments that methods are asked for.
    """

    write: Callable[[Path], None]
    k: int


DATA = {
    "nuclei": Data(nuclei, 2),
    "hippocampus": Data(hippocampus, 3),
    "texture": Data(partial(texture.write_dataset, num_training=IMAGES), 2),
}


def prepare(out: Path, name: str) -> Path:
    """The folder of a data set, which is made where it is not there yet."""
    folder = out / "data" / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            DATA[name].write(Path(scratch) / name)
            (Path(scratch) / name).rename(folder)
    return folder


def _new(folder: Path, dataset: str) -> tuple[Path, dict[str, Any]]:
    """Where a data set is and its dataset.json; makes the folder of a new one."""
    raw = nnunet_folder("nnUNet_raw") / dataset
    description = json.loads((raw / "dataset.json").read_text(encoding="utf-8"))
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    return raw, description


def _some(labels: Path, ending: str) -> list[str]:
    cases = sorted(path.name.removesuffix(ending) for path in labels.glob(f"*{ending}"))
    return cases[:: max(1, len(cases) // IMAGES)][:IMAGES]


def _volume(path: Path) -> NDArray:
    volume: NDArray = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return volume


def _describe(folder: Path, channels: dict[str, str], labels: dict[str, int]) -> None:
    description = {"channel_names": channels, "labels": labels, "numTraining": IMAGES, "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps(description, indent=2), encoding="utf-8")
