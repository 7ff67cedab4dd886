"""Dice, BWT and FWT of small matrices, by hand; the table that shows them."""

import json
from pathlib import Path

import pytest

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.lifelong import report, scores
from nnunetv2_factorizer.lifelong.metrics import Summary, summarize
from nnunetv2_factorizer.lifelong.stage import StageData
from tests.lifelong.stages import write_pool


def test_by_hand() -> None:
    matrix = [[0.9, 0.3, None], [0.7, 0.8, 0.5], [0.6, 0.7, 0.9]]
    found = summarize(matrix)
    assert found.dice == pytest.approx((0.6 + 0.7 + 0.9) / 3)
    assert found.bwt == pytest.approx(((0.6 - 0.9) + (0.7 - 0.8)) / 2)  # forgetting is negative
    assert found.fwt == pytest.approx(((0.8 - 0.3) + (0.9 - 0.5)) / 2)  # learning is positive


def test_what_was_not_measured_is_not_made_up() -> None:
    assert summarize([[0.9]]) == Summary(0.9, None, None)
    assert summarize([[None, None], [0.5, 0.6]]) == Summary(pytest.approx(0.55), None, None)
    assert summarize([[0.9, None], [0.5, 0.6]]) == Summary(pytest.approx(0.55), pytest.approx(-0.4), None)


def test_table_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = write_pool(tmp_path)
    data = [stage.data for stage in pool.stages]
    values = {"Dataset001_A": {"a": 0.8, "b": 0.9}, "Dataset002_B": {"a": 0.4}}
    asked: list[str] = []

    def measure(of: StageData) -> scores.Cell:
        asked.append(of.dataset)
        return values[of.dataset]

    scores.fill(tmp_path, 0, data, measure)
    scores.fill(tmp_path, 1, [*data, StageData("Dataset003_C", "nnUNetPlans", "all")], lambda of: {
        "Dataset001_A": {"a": 0.7}, "Dataset002_B": {"a": 0.6}, "Dataset003_C": {}}[of.dataset])  # fmt: skip
    assert "Dataset003_C: fold all has no held-out cases" in capsys.readouterr().out

    def gone(of: StageData) -> scores.Cell:
        raise UserError(f"{of.dataset} is not there.", "Bring it back.")

    scores.fill(tmp_path, 1, [StageData("Dataset003_C", "nnUNetPlans", "0")], gone)
    assert "Not measured after stage 2, Dataset003_C: Dataset003_C is not there." in capsys.readouterr().out
    scores.fill(tmp_path, 0, data, measure)  # what is there is not measured again
    assert asked == ["Dataset001_A", "Dataset002_B"]
    matrix = scores.matrix(pool, tmp_path)
    assert matrix == [[pytest.approx(0.85), 0.4], [0.7, 0.6]]
    text = report.write(tmp_path, pool, matrix)
    assert "| after Dataset002_B | 0.700 | 0.600 |" in text
    assert "| 0.650 | -0.150 | 0.200 |" in text
    assert text.index("after Dataset001_A") < text.index("BWT")
    assert "| 1 | Dataset001_A, Dataset002_B | models/Dataset002_B/" in text
    record = json.loads((tmp_path / "evaluation.json").read_text())
    assert (record["members"], record["matrix"]) == (2, matrix)
    assert record["fwt"] == pytest.approx(0.2)
