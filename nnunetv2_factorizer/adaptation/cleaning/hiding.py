"""Blur in place of what is not labelled: the synthetic-like images of SISSI (Elbatel et al.), in 2D and 3D.

Their background is the blurred image, and each labelled object is pasted back, so that an object that nobody labelled
survives as blur only and cannot punish the network. Their kernels are in pixels and do not fit together ((12, 32) is
even, the release has (71, 71)). Ours: all lengths in units of the diameter d of an object, and a feathered edge, which
works in 3D, in place of seamless cloning:

    image' = w image + (1 - w) blurred,   w = exp(-(max(r - margin d, 0) / (feather d))^2 / 2)

with r the distance to the nearest labelled voxel. An object that touches another one counts as one with it.
"""

from collections.abc import Sequence
from math import pi, prod

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

BLUR, MARGIN, FEATHER = 0.5, 0.25, 0.125
"""The sigma of the blur, what is kept around an object, and the sigma of the edge, in diameters. Not tuned."""

FAR = 1e9
"""mm between slices for a network in 2D: the nearest labelled voxel is one of the same slice."""


def diameters(labels: NDArray, spacing: Sequence[float]) -> NDArray[np.floating]:
    """Of the balls, in 2D of the discs in each slice, that are as large as the connected objects, in mm.

    Args:
        labels: `(z, y, x)`, objects being larger than 0.
        spacing: mm, of three axes, or of two for a network in 2D.
    """
    n = len(spacing)
    neighbours = ndimage.generate_binary_structure(3, 1)
    if n == 2:
        neighbours[[0, 2]] = False
    objects, _ = ndimage.label(labels > 0, neighbours)
    volumes = np.bincount(objects.ravel())[1:] * prod(spacing)
    return 2 * (volumes / {2: pi, 3: 4 / 3 * pi}[n]) ** (1 / n)


def blur_background(
    image: NDArray[np.float32], labels: NDArray, spacing: Sequence[float], diameter: float
) -> NDArray[np.float32]:
    """The image `(C, z, y, x)` with all blurred that is not near an object.

    Args:
        image: preprocessed.
        labels: `(z, y, x)`, objects being larger than 0.
        spacing: mm, of three axes, or of two for a network in 2D, whose slices are then blurred one by one.
        diameter: d of an object, in mm.
    """
    between = 3 - len(spacing)
    sigma = [0.0] * between + [BLUR * diameter / mm for mm in spacing]
    blurred = np.stack([ndimage.gaussian_filter(channel, sigma) for channel in image])
    if not (labels > 0).any():
        return blurred
    distance = ndimage.distance_transform_edt(labels <= 0, sampling=[FAR] * between + list(spacing))
    beyond = np.maximum(distance - MARGIN * diameter, 0) / (FEATHER * diameter)
    weight = np.exp(-(beyond**2) / 2).astype(np.float32)
    return weight * image + (1 - weight) * blurred
