"""Small images with many objects of two classes, for labels with errors: a case of the hippocampus has two objects."""

import json
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from nnunetv2_factorizer.models.atomic import new_folder

SIZE = (24, 24, 24)
CASES, OBJECTS = 40, 10
"""Objects are placed where there is room: most of them."""
LABELS = {"background": 0, "bright": 1, "dark": 2}


def write_objects(raw: Path, seed: int = 0) -> None:
    """Writes the raw data set, whole or not at all."""
    rng = np.random.default_rng(seed)
    with new_folder(raw) as unfinished:
        for number in range(CASES):
            image, labels = make_case(rng)
            for folder, name, volume in (
                ("imagesTr", f"objects_{number:03d}_0000.nii.gz", image),
                ("labelsTr", f"objects_{number:03d}.nii.gz", labels),
            ):
                (unfinished / folder).mkdir(exist_ok=True)
                SimpleITK.WriteImage(SimpleITK.GetImageFromArray(volume), str(unfinished / folder / name))
        description = {"channel_names": {"0": "MRI"}, "labels": LABELS, "numTraining": CASES, "file_ending": ".nii.gz"}
        (unfinished / "dataset.json").write_text(json.dumps(description), encoding="utf-8")


def make_case(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Image and labels `(z, y, x)`: bright and dark ellipsoids in turn, which do not touch, on a smooth background."""
    axes = np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij")).astype(float)
    labels = np.zeros(SIZE, np.uint8)
    free = np.ones(SIZE, bool)
    for number in range(OBJECTS):
        radii = rng.uniform(2.2, 4.0, 3)
        centre = np.array([rng.uniform(r, n - 1 - r) for r, n in zip(radii, SIZE, strict=True)])
        distance = (((axes - centre[:, None, None, None]) / radii[:, None, None, None]) ** 2).sum(0)
        near = (((axes - centre[:, None, None, None]) / (radii[:, None, None, None] + 2)) ** 2).sum(0) < 1
        if free[near].all():
            labels[distance < 1] = 1 + number % 2
            free[near] = False
    image = 100 + 12 * gaussian_filter(rng.normal(size=SIZE), 4) / 0.03
    image[labels == 1] += 35
    image[labels == 2] -= 35
    return (gaussian_filter(image, 0.6) + rng.normal(0, 10, SIZE)).astype(np.float32), labels
