"""Raw data sets of each kind that nnU-Net knows, a few kilobytes each."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from skimage import io

from nnunetv2_factorizer.demo.phantom import LABELS, write_dataset

REGIONS = {"background": 0, "lesion": [LABELS["oedema"], LABELS["core"]], "core": [LABELS["core"]]}
IGNORE = 3


def write_phantoms(folder: Path, *, regions: bool = False, ignore: bool = False) -> None:
    """The phantom with four channels and thick slices; with `ignore` only every third slice is annotated."""
    write_dataset(folder, num_training=5, num_test=1)
    description = json.loads((folder / "dataset.json").read_text())
    if regions:
        description |= {"labels": REGIONS, "regions_class_order": [LABELS["oedema"], LABELS["core"]]}
    if ignore:
        description["labels"] = description["labels"] | {"ignore": IGNORE}
        for path in (folder / "labelsTr").iterdir():
            image = sitk.ReadImage(str(path))
            labels = sitk.GetArrayFromImage(image)
            annotated = np.arange(len(labels)) % 3 == 1
            labels[~annotated] = IGNORE
            sparse = sitk.GetImageFromArray(labels)
            sparse.CopyInformation(image)
            sitk.WriteImage(sparse, str(path))
    (folder / "dataset.json").write_text(json.dumps(description))


def write_rgb(folder: Path) -> None:
    """2D RGB images of bright discs in one PNG each, like fluorescence microscopy."""
    rng = np.random.default_rng(0)
    axes = np.mgrid[:64, :64]
    for split, number in (("Tr", 5), ("Ts", 1)):
        (folder / f"images{split}").mkdir(parents=True)
        (folder / f"labels{split}").mkdir()
        for case in range(number):
            centres = rng.uniform(8, 56, (6, 2, 1, 1))
            labels = (((axes - centres) ** 2).sum(1) < 49).any(0).astype(np.uint8)
            colour = rng.uniform(0.5, 1, 3)
            image = 40 + 150 * labels[..., None] * colour + rng.normal(0, 10, (64, 64, 3))
            name = f"nuclei_{split}{case:03d}"
            io.imsave(folder / f"images{split}" / f"{name}_0000.png", image.clip(0, 255).astype(np.uint8))
            io.imsave(folder / f"labels{split}" / f"{name}.png", labels, check_contrast=False)
    description = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "nucleus": 1},
        "numTraining": 5,
        "file_ending": ".png",
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def link_cases(source: Path, target: Path, number: int) -> None:
    """The first cases of a real data set, the last of them without its label as the test case."""
    description: dict[str, Any] = json.loads((source / "dataset.json").read_text())
    ending = description["file_ending"]
    cases = sorted(path.name.removesuffix(ending) for path in (source / "labelsTr").glob(f"*{ending}"))[:number]
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (target / folder).mkdir(parents=True)
    for case in cases:
        split = "Ts" if case == cases[-1] else "Tr"
        for image in (source / "imagesTr").glob(f"{case}_????{ending}"):
            (target / f"images{split}" / image.name).symlink_to(image)
        if split == "Tr":
            label = source / "labelsTr" / f"{case}{ending}"
            (target / "labelsTr" / label.name).symlink_to(label)
    (target / "dataset.json").write_text(json.dumps(description | {"numTraining": number - 1}))


def values(path: Path) -> set[int]:
    """The labels that are in a file."""
    if path.suffix == ".png":
        return set(np.unique(NaturalImage2DIO().read_seg(str(path))[0]).astype(int).tolist())
    return set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))).tolist())
