"""A small multi-parametric MRI data set out of nothing: brain-like phantoms with nested lesion regions."""

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

CHANNELS = ("T1", "T1ce", "T2", "FLAIR")
LABELS = {"background": 0, "oedema": 1, "core": 2}
SHAPE = (16, 40, 40)
SPACING = (7.5, 3.6, 3.6)
"""In mm, in the order of the array: slices are twice as thick as their pixels are wide."""

INTENSITIES = {
    "grey": (0.60, 0.60, 0.60, 0.60),
    "white": (0.80, 0.80, 0.45, 0.50),
    "fluid": (0.25, 0.25, 1.00, 0.15),
    "oedema": (0.55, 0.55, 0.85, 0.95),
    "core": (0.40, 1.10, 0.75, 0.70),
}
"""Of each tissue in each of the `CHANNELS`."""


def write_dataset(folder: Path, num_training: int, num_test: int, seed: int = 0) -> None:
    """Writes a data set in nnU-Net's raw format, with labels of the test cases in `labelsTs`.

    Args:
        folder: `DatasetXXX_NAME`, must not exist.
        num_training: cases in `imagesTr`.
        num_test: cases in `imagesTs`.
        seed: the same seed gives the same data set.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for split, number in (("Tr", num_training), ("Ts", num_test)):
        for kind in ("images", "labels"):
            (folder / f"{kind}{split}").mkdir()
        for case in range(number):
            name = f"phantom_{split}{case:03d}"
            image, labels = make_case(rng)
            for channel, volume in enumerate(image):
                _write(volume.astype(np.float32), folder / f"images{split}" / f"{name}_{channel:04d}.nii.gz")
            _write(labels.astype(np.uint8), folder / f"labels{split}" / f"{name}.nii.gz")
    description = {
        "channel_names": {str(i): name for i, name in enumerate(CHANNELS)},
        "labels": LABELS,
        "numTraining": num_training,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description, indent=2))


def make_case(rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """One phantom: image `(channel, z, y, x)` and labels `(z, y, x)`, on a grid of `SHAPE` and `SPACING`."""
    centre = [(n - 1) * s / 2 for n, s in zip(SHAPE, SPACING, strict=True)]
    axes = np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij")
    head = np.array([50.0, 62.0, 55.0]) * rng.uniform(0.9, 1.05, 3)
    wobble = 0.10 * _smooth_noise(rng, 12.0)

    brain = _ellipsoid(axes, centre, head) + wobble < 1
    white = _ellipsoid(axes, centre, head * 0.78) + 2 * wobble < 1
    fluid = np.zeros(SHAPE, dtype=bool)
    for side in (-1, 1):
        fluid |= _ellipsoid(axes, np.add(centre, (0, 0, side * 12.0)), np.array([14.0, 20.0, 6.0])) < 1

    labels = np.zeros(SHAPE, dtype=np.int64)
    direction = rng.normal(size=3)
    position = np.add(centre, 0.5 * head * direction / np.linalg.norm(direction))
    radius = rng.uniform(15.0, 24.0)
    distance = _ellipsoid(axes, position, radius * rng.uniform(0.85, 1.2, 3)) + 0.25 * _smooth_noise(rng, 6.0)
    labels[(distance < 1) & brain] = LABELS["oedema"]
    labels[(distance < 0.35) & brain] = LABELS["core"]

    tissues = {"grey": brain, "white": white & brain, "fluid": fluid}
    tissues |= {name: labels == LABELS[name] for name in ("oedema", "core")}
    image = np.zeros((len(CHANNELS), *SHAPE))
    for name, mask in tissues.items():
        image[:, mask] = np.array(INTENSITIES[name])[:, None]
    for volume in image:
        volume[:] = gaussian_filter(volume, [0.3, 0.6, 0.6]) * np.exp(0.2 * _smooth_noise(rng, 30.0))
        volume += rng.normal(0, 0.04, SHAPE)
        volume *= rng.uniform(300, 1200)
    return image, labels


def _ellipsoid(axes: tuple[NDArray, ...], centre: NDArray | list[float], radii: NDArray) -> NDArray:
    """The squared distance from the centre, 1 on the surface; all in mm."""
    return sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True))


def _smooth_noise(rng: np.random.Generator, width: float) -> NDArray:
    """Noise of unit standard deviation, smooth over `width` mm."""
    noise = gaussian_filter(rng.normal(size=SHAPE), [width / s for s in SPACING], mode="wrap")
    return noise / noise.std()


def _write(volume: NDArray, path: Path) -> None:
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin((-70.0, -65.0, -55.0))
    sitk.WriteImage(image, str(path))
