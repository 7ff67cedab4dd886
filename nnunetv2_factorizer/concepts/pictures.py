"""What a person sees of a tile: a grey picture of its surroundings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nnunetv2_factorizer.inference.images import Case

PICTURE = 64
"""Voxels on each side of a picture."""


@dataclass(frozen=True)
class Wanted:
    """The tiles of an image that pictures are wanted of: their middles, `(n, 3)` voxels."""

    case: Case
    positions: NDArray[np.int32]


def tile_pictures(data: Tensor, positions: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Pictures `(n, height, width)` of the slices across the first axis, with the middles of the tiles in the middle.

    Args:
        data: the preprocessed image `(C, *S)`; its first channel is shown.
        positions: `(n, 3)`.
    """
    image = data[0].numpy()
    lowest, highest = np.percentile(image, (0.5, 99.5))
    half = PICTURE // 2
    pictures = np.zeros((len(positions), PICTURE, PICTURE), np.uint8)
    for picture, (z, y, x) in zip(pictures, positions, strict=True):
        window = image[z, max(0, y - half) : y + half, max(0, x - half) : x + half]
        grey = (window - lowest) / max(highest - lowest, 1e-8)
        top, left = max(0, half - y), max(0, half - x)
        picture[top : top + window.shape[0], left : left + window.shape[1]] = (255 * grey.clip(0, 1)).round()
    return pictures
