"""SLIC superpixels (Achanta et al., IEEE TPAMI 2012; scikit-image), then k-means of their mean intensities.

A superpixel is a patch of similar pixels that lie together, about `SIDE` pixels a side. So noise is averaged away
before k-means sees it, and what is much smaller than a superpixel is lost. In 3D superpixels are as many voxels long
on each axis, whatever the spacing.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import slic

from nnunetv2_factorizer.segment.method import Segments
from nnunetv2_factorizer.segment.methods.kmeans import cluster

SIDE = 8
COMPACTNESS = 0.1
"""How much a pixel's place counts beside its intensity, which scikit-image scales to 0 to 1."""


def segment(image: NDArray, k: int, seed: int, device: torch.device) -> Segments:
    """`k` segments of `(C, *S)`; fewer where there are fewer superpixels."""
    wanted = max(4 * k, image[0].size // SIDE ** (image.ndim - 1))
    superpixels = slic(
        np.moveaxis(image, 0, -1),
        n_segments=min(wanted, image[0].size),
        compactness=COMPACTNESS,
        convert2lab=False,
        channel_axis=-1,
        start_label=0,
    )
    numbers, places = np.unique(superpixels, return_inverse=True)
    means = np.stack([ndimage.mean(channel, superpixels, numbers) for channel in image], 1)
    return Segments(cluster(means, k, seed)[places.reshape(superpixels.shape)])
