"""Images whose regions differ in nothing but their texture: a control for segmentation without labels.

Both regions are stripes of noise, in the region from top to bottom, around it from left to right. Mean, variance and
histogram are the same, and so is the texture but for a quarter turn: whatever looks at single voxels, k-means of
intensities for example, is at chance here. In 3D each slice `(y, x)` has the same stripes.
"""

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

LABELS = {"background": 0, "region": 1}
SHAPE = (128, 128)
ALONG, ACROSS = 3.0, 0.8
"""Widths of the Gaussian in voxels, along the stripes and across."""

MEAN, DEVIATION = 128.0, 36.0
"""Of the grey values, in the region as around it."""


def write_dataset(folder: Path, num_training: int, shape: tuple[int, ...] = SHAPE, seed: int = 0) -> None:
    """Writes a data set in nnU-Net's raw format: PNG for 2D, NIfTI of 1 mm for 3D.

    Args:
        folder: `DatasetXXX_NAME`, must not exist.
        num_training: cases in `imagesTr`.
        shape: voxels, `(y, x)` or `(z, y, x)`.
        seed: the same seed gives the same data set.
    """
    ending = ".png" if len(shape) == 2 else ".nii.gz"
    folder.mkdir(parents=True)
    (folder / "imagesTr").mkdir()
    (folder / "labelsTr").mkdir()
    rng = np.random.default_rng(seed)
    for case in range(num_training):
        image, labels = make_case(rng, shape)
        _write(image, folder / "imagesTr" / f"texture_{case:03d}_0000{ending}")
        _write(labels, folder / "labelsTr" / f"texture_{case:03d}{ending}")
    description = {
        "channel_names": {"0": "grey"},
        "labels": LABELS,
        "numTraining": num_training,
        "file_ending": ending,
    }
    (folder / "dataset.json").write_text(json.dumps(description, indent=2))


def make_case(rng: np.random.Generator, shape: tuple[int, ...] = SHAPE) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Grey values and labels, both `(*shape)`; a fifth to two fifths of the voxels are in the region."""
    form = gaussian_filter(rng.normal(size=shape), [size / 10 for size in shape], mode="wrap")
    region = form > np.quantile(form, 1 - rng.uniform(0.2, 0.4))
    image = np.zeros(shape)
    for mask, (along_y, along_x) in ((region, (ALONG, ACROSS)), (~region, (ACROSS, ALONG))):
        widths = np.array([ACROSS] * (len(shape) - 2) + [along_y, along_x])
        noise = rng.normal(size=shape)
        # Without what changes slowly: a stretch of stripes has no mean of its own.
        texture = (gaussian_filter(noise, widths, mode="wrap") - gaussian_filter(noise, 2 * widths, mode="wrap"))[mask]
        image[mask] = (texture - texture.mean()) / texture.std()  # equal in every image, not on average only
    return (MEAN + DEVIATION * image).round().clip(0, 255).astype(np.uint8), region.astype(np.uint8)


def _write(array: NDArray[np.uint8], path: Path) -> None:
    if array.ndim == 2:
        Image.fromarray(array).save(path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
