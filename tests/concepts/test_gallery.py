"""The gallery: every category, names as text, and nothing that is loaded from elsewhere."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nnunetv2_factorizer.concepts.gallery import write_gallery
from nnunetv2_factorizer.concepts.pictures import PICTURE, tile_pictures
from tests.concepts.test_dictionary import dictionary

NAME = '<script>alert("x")</script>'


def test_page(tmp_path: Path) -> None:
    write_gallery(dictionary(), {2: NAME}, tmp_path)
    page = (tmp_path / "gallery.html").read_text()
    assert "<script" not in page
    assert "2: &lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;" in page
    assert page.count("a&lt;b&gt;<br>") == 3
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 3  # the second place of each category is empty
    for source in sources:
        kind, data = source.split(",")
        assert kind == "data:image/png;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (2 * PICTURE, 2 * PICTURE)


def test_contact_sheet_has_a_row_a_category(tmp_path: Path) -> None:
    heights = []
    for k in (3, 6):
        write_gallery(dictionary(k), {}, tmp_path)
        heights.append(Image.open(tmp_path / "gallery.png").height)
    assert heights[1] == 2 * heights[0] > 6 * PICTURE


def test_picture_has_the_tile_in_the_middle() -> None:
    data = torch.rand(1, 3, 20, 100)
    data[0, 1, 18, 90] = 5
    (picture,) = tile_pictures(data, np.array([[1, 18, 90]], np.int32))
    middle = PICTURE // 2
    assert picture[middle, middle] == 255
    assert (picture[middle + 2 :] == 0).all()  # beyond the border of the image
    assert (picture[:, middle + 10 :] == 0).all()
    assert picture[middle - 17 : middle + 2, : middle + 10].any()
