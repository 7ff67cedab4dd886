"""The skin type that a photograph or a dermoscopic image shows, from its colours (Bevan, Atapour-Abarghouei).

Of eight squares along the border of the image, where skin is rather than a lesion, the largest individual typology
angle is kept, that of the lightest:

    ITA = arctan((L - 50) / b) 180 / pi,  L and b of CIELAB

and cut at 55, 41, 28, 19 and 10 degrees to the types 1 (lightest) to 6 of Fitzpatrick. With one argument, the
arctangent changes its sign where b < 0, so that bluish light skin would be dark; both arguments are given here.

The paper paints hair over, found by a black-hat filter; here it is left out of the mean of a square. As the authors
say, an image in dark light is often called type 6.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import black_tophat
from skimage.color import rgb2gray, rgb2lab

from nnunetv2_factorizer.errors import UserError

BOUNDS = (55, 41, 28, 19, 10)
"""Degrees, above which the types 1 to 5 begin."""
SQUARE = 20
"""Pixels."""
HAIR_WIDTH = 17
"""Pixels: what is darker than all around within so many is hair."""
HAIR = 10 / 255
"""So much darker."""
BRIGHTEST = 255


def fitzpatrick(degrees: float) -> int:
    """The skin type, 1 to 6, of an individual typology angle."""
    return 1 + sum(degrees <= bound for bound in BOUNDS)


def typology_angle(image: NDArray[np.float32], case: str) -> float:
    """The largest individual typology angle along the border, in degrees.

    Args:
        image: `(3, 1, H, W)` as nnU-Net reads it, R, G and B from 0 to 255.
        case: its name, for messages.

    Raises:
        UserError: the image has no such colours, is a volume, or is too small.
    """
    if len(image) != 3 or image.shape[1] != 1 or not 0 <= image.min() <= image.max() <= BRIGHTEST:
        raise UserError(
            f"{case} is no image of 8-bit colours: {len(image)} channels, {image.shape[1]} slices, values from "
            f"{image.min():g} to {image.max():g}.",
            "Skin tone needs R, G and B from 0 to 255. For other images, --sites K groups them by what they look like.",
        )
    if min(image.shape[2:]) < SQUARE:
        height, width = image.shape[2:]
        raise UserError(
            f"{case} has {height} x {width} pixels; the skin is looked at in squares of {SQUARE} x {SQUARE}.",
            "Leave the image out, or give it in its full size.",
        )
    colours = image[:, 0].transpose(1, 2, 0) / BRIGHTEST
    skin = black_tophat(rgb2gray(colours), HAIR_WIDTH) <= HAIR
    angles = []
    for square in _squares(colours.shape[:2]):
        if skin[square].any():
            lightness, _, b = rgb2lab(colours[square])[skin[square]].mean(0)
            angles.append(np.degrees(np.arctan2(lightness - 50, b)))
    if not angles:
        raise UserError(f"{case} has nothing but hair, or dark lines, along its border.", "Leave the image out.")
    return float(max(angles))


def _squares(size: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Along the border: four in the corners, and four in the middle between them."""
    rows, columns = ((0, (n - SQUARE) // 2, n - SQUARE) for n in size)
    corners = [(row, column) for row in rows for column in columns if (row, column) != (rows[1], columns[1])]
    return [(slice(row, row + SQUARE), slice(column, column + SQUARE)) for row, column in corners]
