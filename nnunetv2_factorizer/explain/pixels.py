"""Grey images, and what is laid over them: maps and labels in colour, as palettes and as PNG."""

import io
from collections.abc import Collection, Mapping

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEVELS = 32  # few, since noise in the last bits of a map would be most of the report's size


def heat() -> NDArray[np.uint8]:
    """The colours of the levels of a map, `(level, 4)` in RGBA: the lowest is clear, the highest covers the image."""
    ramp = np.linspace(0, 1, LEVELS)
    colours = matplotlib.colormaps["inferno"](0.15 + 0.85 * ramp)
    colours[:, 3] = 0.9 * ramp**0.5
    return (255 * colours).round().astype(np.uint8)


def label_colours(number: int) -> NDArray[np.uint8]:
    """The colours of `number` labels, `(1 + number, 4)` in RGBA: the first, of the background, is clear."""
    names = matplotlib.color_sequences["Set1"]
    colours = [(0.0, 0.0, 0.0, 0.0)] + [(*names[i % len(names)], 0.6) for i in range(number)]
    return (255 * np.array(colours)).round().astype(np.uint8)


def levels(values: NDArray, lowest: float, highest: float, number: int = LEVELS) -> NDArray[np.uint8]:
    """From `lowest` (level 0) to `highest` (level `number - 1`) in equal steps; an array of one value is level 0."""
    share = (values - lowest) / (highest - lowest) if highest > lowest else np.zeros_like(values)
    return (share * (number - 1)).round().clip(0, number - 1).astype(np.uint8)


def paint(segmentation: NDArray[np.integer], labels: Mapping[str, Collection[int]]) -> NDArray[np.uint8]:
    """For each pixel the number of the last label, counted from 1, that holds its value; 0 for none."""
    painted = np.zeros(segmentation.shape, np.uint8)
    for number, values in enumerate(labels.values(), start=1):
        painted[np.isin(segmentation, list(values))] = number
    return painted


def png(pixels: NDArray[np.uint8], colours: NDArray[np.uint8] | None = None) -> bytes:
    """A PNG file of pixels `(height, width)`: indices of the colours `(number, 4)` in RGBA, or grey values."""
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    if colours is None:
        image.save(buffer, "PNG", optimize=True)
    else:
        image.putpalette(colours[:, :3].tobytes())
        image.save(buffer, "PNG", optimize=True, transparency=colours[:, 3].tobytes())
    return buffer.getvalue()
