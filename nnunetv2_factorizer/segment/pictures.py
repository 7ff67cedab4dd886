"""What a person sees of an image: its middle slice, and the same with its segments in colours."""

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from skimage.segmentation import find_boundaries

from nnunetv2_factorizer.segment.images import Image
from nnunetv2_factorizer.segment.pieces import slice_axis

SIDE = 384
"""Pixels of the longer side of each of the two."""

STRENGTH = 0.45
"""Of the colours over the image."""

GAP = 8


def colour(label: int) -> tuple[float, float, float]:
    """Of a label, each number from 0 to 1. Hues of neighbours are far apart (steps of the golden ratio)."""
    if label == 0:
        return (0.0, 0.0, 0.0)
    return colorsys.hsv_to_rgb((0.6 + (label - 1) * 0.618034) % 1, 0.85, (1.0, 0.75)[(label // 8) % 2])


def case_picture(image: Image, labels: NDArray[np.uint16]) -> Picture.Image:
    """The middle slice across the axis that is cut, or the first: left as it is, right with its segments."""
    axis = slice_axis(image, 2) or 0
    middle = image.data.shape[1 + axis] // 2
    shown, segments = _shown(image.data.take(middle, 1 + axis), image.colours), labels.take(middle, axis)
    present, places = np.unique(segments, return_inverse=True)
    colours = np.array([colour(label) for label in present.tolist()])[places.reshape(segments.shape)]
    coloured = (1 - STRENGTH) * shown + STRENGTH * colours
    coloured[find_boundaries(segments, mode="inner")] *= 0.5
    halves = [_enlarged(half) for half in (shown, coloured)]
    picture = Picture.new("RGB", (2 * halves[0].width + GAP, halves[0].height), "white")
    picture.paste(halves[0], (0, 0))
    picture.paste(halves[1], (halves[0].width + GAP, 0))
    return picture


def _shown(pixels: NDArray[np.float32], colours: bool) -> NDArray[np.float64]:
    """`(C, H, W)` as `(H, W, 3)`, 0 to 1: the colours, or the first channel in grey."""
    chosen = pixels[:3] if colours and len(pixels) >= 3 else pixels[:1].repeat(3, 0)
    lowest, highest = np.percentile(chosen, (0.5, 99.5))
    return np.moveaxis(((chosen - lowest) / max(highest - lowest, 1e-8)).clip(0, 1), 0, -1).astype(np.float64)


def _enlarged(pixels: NDArray[np.float64]) -> Picture.Image:
    half = Picture.fromarray((255 * pixels).round().astype(np.uint8))
    scale = SIDE / max(half.size)
    size = (max(1, round(half.width * scale)), max(1, round(half.height * scale)))
    return half.resize(size, Picture.Resampling.NEAREST if scale > 1 else Picture.Resampling.LANCZOS)
