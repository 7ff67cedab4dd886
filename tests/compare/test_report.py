"""The table: means, paired differences, and files that are whole."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap

from nnunetv2_factorizer.compare import report
from nnunetv2_factorizer.compare.comparison import Comparison
from nnunetv2_factorizer.compare.table import cells, rows
from tests.compare.runs import result, run, write

NNUNET = {"a": 0.5, "b": 0.7, "c": 0.4}


def results() -> list[dict[str, Any]]:
    return [
        result("nnU-Net", 0, NNUNET),
        result("Hybrid", 0, {"a": 0.6, "b": 0.9, "c": 0.3}),
        result("Hybrid", 1, {"a": 1.0}, step=0.7),  # another case that nnU-Net lacks, of the same name
    ]


def test_differences_are_paired_over_the_cases_of_both() -> None:
    reference, hybrid = rows(results(), ["nnU-Net", "Hybrid", "Swin"])
    differences = np.array([0.1, 0.2, -0.1])
    interval = bootstrap((differences,), np.mean, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    assert hybrid["difference"] == pytest.approx(differences.mean())
    assert (hybrid["difference_low"], hybrid["difference_high"]) == pytest.approx(interval)
    assert reference["difference"] is None
    assert hybrid["dice"] == hybrid["dice lesion"] == pytest.approx(0.7)
    assert hybrid["hd95 lesion"] == pytest.approx(3)
    assert (hybrid["step"], hybrid["folds"], hybrid["cases"]) == (pytest.approx(0.6), "0 1", 4)
    alone = rows(results()[1:], ["Hybrid"])[0]
    assert alone["difference"] is None
    assert cells(alone)["minus nnU-Net"] == cells(alone)["peak, GiB"] == ""


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "preprocessed" / "Dataset997_Small"
    base.mkdir(parents=True)
    (base / "nnUNetPlans.json").write_text("{}")
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    networks = ("nnU-Net", "Hybrid", "Swin")
    wanted = Comparison(tmp_path, base.name, "3d_fullres", "nnUNetPlans", ("0",), networks, "4 iterations", None, "cpu")
    runs = [run(tmp_path, name) for name in networks]
    for of, content in zip(runs[:2], results()[:2], strict=True):
        write(of, content)
    runs[2].folder.mkdir(parents=True)
    (runs[2].folder / "failure.json").write_text('{"cause": "<3D only>.", "remedy": "Leave it out."}')
    table = report.write(wanted, runs)
    assert "| Hybrid | 8x16x16, 2 | 0 | 4 | 1.50 M | 2.5 | 0.5 |  | 0.600 | +0.067 [" in table
    text, page = (tmp_path / report.TABLE).read_text(), (tmp_path / report.PAGE).read_text()
    assert table in text
    assert "- Swin, fold 0: <3D only>. Leave it out." in text
    assert "&lt;3D only&gt;." in page
    assert page.count("<tr>") == 4
    assert "| Swin: no result |  |" in table
    assert "data:image/png;base64," in page
    record = json.loads((tmp_path / report.JSON).read_text())
    assert [row["network"] for row in record["rows"]] == ["nnU-Net", "Hybrid"]
    assert record["without_a_result"][0]["network"] == "Swin"
    with (tmp_path / report.CSV).open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["dice"][:4] for line in lines] == ["0.53", "0.6", ""]
    assert lines[2]["failure"] == "<3D only>."
    assert {path.name for path in tmp_path.iterdir()} == {*report.FILES, "runs", "preprocessed"}


def test_nothing_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "D").mkdir()
    (tmp_path / "D" / "P.json").write_text("{}")
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    wanted = Comparison(tmp_path, "D", "2d", "P", ("0",), ("Hybrid",), "4 iterations", None, "cpu")
    assert report.write(wanted, [run(tmp_path, "Hybrid")]) == "No run has ended."
    assert "has not ended" in (tmp_path / report.PAGE).read_text()
