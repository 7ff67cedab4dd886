"""The stages of the benchmark, and its table."""

import json
from pathlib import Path

import pytest

pytest.importorskip("monai", reason="MONAI makes the images of scanner B: pip install '.[tune]'")

from benchmarks.lifelong.__main__ import ARMS, print_table
from benchmarks.lifelong.stages import DATASETS, SHARES, divided
from nnunetv2_factorizer.lifelong.methods import METHODS
from nnunetv2_factorizer.lifelong.methods.odex import HISTORIES


def test_stages_slide_and_share_no_case() -> None:
    train, val = [f"t{i}" for i in range(43)], [f"v{i}" for i in range(20)]
    stages = divided(train, val)
    assert len(stages) == len(DATASETS)
    for stage, share in zip(stages, SHARES, strict=True):
        for part, size in ((stage.train, 8), (stage.val, 4)):
            assert len(part) in (size, size + 1)
            assert sum(scanner == "B3" for scanner in part.values()) == round(share * len(part))
    assert sorted(case for stage in stages for case in stage.train) == sorted(train)
    assert sorted(case for stage in stages for case in stage.val) == sorted(val)
    assert divided(train, val) == stages


def test_arms_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {method for method, _ in ARMS.values()} == set(METHODS)
    assert {history for method, history in ARMS.values() if method == "odex"} == set(HISTORIES)
    result = {"arm": "sequential", "iterations": 250, "members": 1, "dice": 0.5, "bwt": -0.2, "fwt": None}
    (tmp_path / "a.json").write_text(json.dumps(result | {"matrix": [[0.8] + [None] * 4] * 4 + [[0.5] * 5]}))
    print_table(tmp_path)
    row = capsys.readouterr().out.splitlines()[-1]
    assert row == "| sequential | 250 | 1 | 0.500 | -0.200 |  | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 |"
