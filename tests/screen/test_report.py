"""What is written of a screening: the same numbers in every file, and a page that loads nothing."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnunetv2_factorizer.screen import Score
from nnunetv2_factorizer.screen.pictures import plot, slices
from nnunetv2_factorizer.screen.report import UNEXPLAINED, Shown, write_report
from tests.screen.cases import write_model
from tests.screen.test_statistics import statistics

NAME = '<script>alert("x")</script>'
SCORES = {
    NAME: Score(3.5, True, "A", {"noise": 5.0}),
    "other": Score(1.5, True, 2, {"noise": 0.1}),
    "usual": Score(0.5, False, 2, {"noise": -7.0}),
}
"""Worst first."""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    picture = slices(np.zeros((1, 4, 4), np.float32), [1, 1, 1])
    shown = [Shown(name, score, "T1", picture) for name, score in SCORES.items()]
    write_report(tmp_path, SCORES, shown, statistics(write_model(tmp_path)), 1.0)
    return tmp_path


def test_page(report: Path) -> None:
    page = (report / "screen.html").read_text()
    assert "2 of 3 cases are unlike the training cases" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "more noise" in page
    assert UNEXPLAINED in page
    assert "less noise" not in page.partition("<h2>How")[0]  # of a case that is not shifted nothing is said
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_tables(report: Path) -> None:
    record = json.loads((report / "screen.json").read_text())
    with (report / "screen.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == list(record["cases"]) == list(SCORES)
    for row, score in zip(rows, SCORES.values(), strict=True):
        of_case = record["cases"][row["case"]]
        assert of_case["distance"] == float(row["distance"]) == score.distance
        assert str(of_case["shifted"]) == row["shifted"] == str(score.shifted)
        assert str(of_case["nearest"]) == row["nearest"]
        assert of_case["deviations"]["noise"] == float(row["noise"])
    assert [row["reasons"] for row in rows] == ["more noise", UNEXPLAINED, ""]
    assert [case["reasons"] for case in record["cases"].values()] == [["more noise"], [], []]
    assert record["threshold"] == 1
    assert len(record["checkpoint_sha256"]) == 64


@pytest.mark.parametrize("largest", [1.2, 300.0])
def test_plot_is_the_same_every_time(largest: float) -> None:
    first = plot([0.5, 1.0], [largest, 0.4], 1.0)
    assert Image.open(io.BytesIO(first)).width > 1000
    assert plot([0.5, 1.0], [largest, 0.4], 1.0) == first


def test_slices_have_square_pixels() -> None:
    image = np.random.default_rng(0).normal(size=(10, 40, 20)).astype(np.float32)
    sizes = [Image.open(io.BytesIO(png)).size for png in slices(image, [6.0, 1.0, 2.0])]
    assert sizes == [(240, 240), (160, 240), (160, 240)]  # 40 mm by 40 mm; 60 mm high, 40 mm wide
    (only,) = slices(image[:1], [6.0, 1.0, 1.0])
    assert Image.open(io.BytesIO(only)).size == (120, 240)
