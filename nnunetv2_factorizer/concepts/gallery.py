"""The categories of a dictionary for a person: the tiles closest to each centre, as page and contact sheet."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nnunetv2_factorizer.concepts.dictionary import Dictionary
from nnunetv2_factorizer.inference.page import render

GALLERY = "gallery.html"
ZOOM = 2
MARGIN = 4
FRAME = (255, 190, 0)
CAPTION = 14  # pixels


def write_gallery(dictionary: Dictionary, names: dict[int, str], folder: Path) -> None:
    """Writes `gallery.html`, which opens from disk and loads nothing, and the contact sheet `gallery.png`.

    Args:
        dictionary: of the concepts.
        names: of categories, counted from 1; a category without one is called by its number.
        folder: to write into; it is made where there is none.
    """
    categories = [
        {
            "number": row + 1,
            "name": names.get(row + 1, ""),
            "tiles": int(count),
            "nearest": _nearest(dictionary, row),
        }
        for row, count in enumerate(dictionary.tiles)
    ]
    folder.mkdir(exist_ok=True)
    content = {"dictionary": dictionary, "identity": dictionary.identity, "categories": categories}
    (folder / GALLERY).write_text(render(__package__, "gallery.html.jinja", content), encoding="utf-8")
    _contact_sheet(dictionary, names).save(folder / "gallery.png")


def _nearest(dictionary: Dictionary, row: int) -> list[dict[str, Any]]:
    return [
        {
            "case": str(case),
            "position": ", ".join(map(str, position.tolist())),
            "distance": float(distance),
            "picture": _png(_framed(picture, dictionary.tile_size)),
        }
        for case, position, distance, picture in zip(
            dictionary.nearest_cases[row], dictionary.nearest_positions[row], dictionary.nearest_distances[row],
            dictionary.pictures[row], strict=True,
        )
        if case
    ]  # fmt: skip


def _framed(picture: NDArray[np.uint8], tile_size: NDArray[np.int32]) -> Image.Image:
    """Enlarged, with the tile's outline in the middle."""
    height, width = picture.shape
    image = Image.fromarray(picture).convert("RGB").resize((ZOOM * width, ZOOM * height), Image.Resampling.BILINEAR)
    half_y, half_x = (ZOOM * size / 2 for size in tile_size[1:].tolist())
    middle_x, middle_y = image.width / 2, image.height / 2
    box = (middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y)
    ImageDraw.Draw(image).rectangle(box, outline=FRAME)
    return image


def _contact_sheet(dictionary: Dictionary, names: dict[int, str]) -> Image.Image:
    """A row a category: its number and name, and its closest tiles."""
    number, columns, height, width = dictionary.pictures.shape
    row_height = ZOOM * height + CAPTION + 2 * MARGIN
    sheet = Image.new("RGB", (columns * (ZOOM * width + MARGIN) + MARGIN, number * row_height), "white")
    draw = ImageDraw.Draw(sheet)
    for row in range(number):
        top = row * row_height + MARGIN
        name = names.get(row + 1, "")
        draw.text((MARGIN, top), f"{row + 1}  {name}  ({dictionary.tiles[row]} tiles)", fill="black")
        for column, case in enumerate(dictionary.nearest_cases[row]):
            if case:
                picture = _framed(dictionary.pictures[row, column], dictionary.tile_size)
                sheet.paste(picture, (MARGIN + column * (ZOOM * width + MARGIN), top + CAPTION))
    return sheet


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
