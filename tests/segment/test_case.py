"""A case is written whole or not at all, and its picture and page show it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from PIL import Image as Picture

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.segment.case import segment_case
from nnunetv2_factorizer.segment.gallery import write_gallery
from nnunetv2_factorizer.segment.images import find_images
from nnunetv2_factorizer.segment.pictures import SIDE, colour
from nnunetv2_factorizer.segment.record import Record
from tests.segment.examples import agreement, write_pngs

RECORD = Record("kmeans", 2, 0, ".png")
SETTINGS: dict[str, Any] = {"record": RECORD, "device": torch.device("cpu")}


def test_a_case(tmp_path: Path) -> None:
    write_pngs(tmp_path / "in")
    cases, _, reader = find_images(tmp_path / "in")
    output = tmp_path / "out"
    output.mkdir()
    result = segment_case(cases[0], reader=reader, output=output, **SETTINGS)
    files = sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())
    assert files == ["case0.png", "cases/case0.json", "cases/case0.png"]
    labels = reader().read_seg(str(output / "case0.png"))[0][0]
    assert agreement(labels) == 1
    assert result["voxels"] == {"1": 288, "2": 288}
    assert result["seconds_an_iteration"] is None
    picture = np.asarray(Picture.open(output / "cases" / "case0.png"))
    assert picture.shape == (SIDE, 2 * SIDE + 8, 3)
    left, right = picture[SIDE // 2, SIDE // 4], picture[SIDE // 2, SIDE + 8 + SIDE // 4]
    assert right.argmax() == np.argmax(colour(1))
    assert np.ptp(left.astype(int)) < 60 < np.ptp(right.astype(int))


def test_a_case_that_is_there_is_not_done_again(tmp_path: Path) -> None:
    write_pngs(tmp_path / "in")
    (case, _), _, reader = find_images(tmp_path / "in")
    result = segment_case(case, reader=reader, output=tmp_path, **SETTINGS)
    (tmp_path / "in" / "case0_0000.png").unlink()
    assert segment_case(case, reader=reader, output=tmp_path, **SETTINGS) == result
    (tmp_path / "cases" / "case0.json").unlink()
    with pytest.raises(UserError, match=r"case0\.json is missing or damaged\.\nMove the label map away"):
        segment_case(case, reader=reader, output=tmp_path, **SETTINGS)


def test_nothing_is_left_of_a_case_that_fails(tmp_path: Path) -> None:
    class Full(NaturalImage2DIO):
        def write_seg(self, *args: Any) -> None:
            super().write_seg(*args)
            raise OSError("no space left on device")

    write_pngs(tmp_path / "in")
    cases, _, _ = find_images(tmp_path / "in")
    (tmp_path / "out").mkdir()
    with pytest.raises(OSError, match="no space left"):
        segment_case(cases[0], reader=Full, output=tmp_path / "out", **SETTINGS)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    few = {"record": Record("kmeans", 577, 0, ".png"), "device": torch.device("cpu")}
    with pytest.raises(UserError, match="case0: k is 577, but there are only 576 pixels"):
        segment_case(cases[0], reader=NaturalImage2DIO, output=tmp_path / "out", **few)


def test_gallery(tmp_path: Path) -> None:
    cases = {
        "a b": {"voxels": {"0": 10, "1": 60, "2": 30}, "collapsed": 0, "slices": 3},
        "c": {"voxels": {"1": 100}, "collapsed": 1, "slices": 1},
    }
    write_gallery(Record("dfc", 3, 0, ".nii.gz", {2: "<b>bright</b>"}, cases), tmp_path)
    page = (tmp_path / "gallery.html").read_text()
    assert re.findall(r'src="([^"]*)"', page) == ["cases/a%20b.png", "cases/c.png"]
    assert "2: &lt;b&gt;bright&lt;/b&gt;" in page
    assert "<b>" not in page
    assert re.findall(r"([\d.]+) %", page) == ["60.0", "30.0", "100.0"]
    assert page.count("one label only") == 1
    assert ".quiet { color" in page  # the style sheet is in it, not escaped
