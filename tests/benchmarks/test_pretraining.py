"""The benchmark of pre-training: what it makes of the files of its runs, and which cases a selection has."""

import json
from pathlib import Path

import pytest
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from benchmarks.pretraining.results import plot, print_table
from benchmarks.pretraining.training import FewLabels


def write(out: Path, arm: str, selection: int, dice: float, *of_cases: float, cases: int = 2) -> None:
    run = {
        "arm": arm, "cases": cases, "selection": selection, "pretraining_seconds": 0.0 if arm == "scratch" else 60.0,
        "dice": dice, "dice_of_labels": {"1": dice + 0.1, "2": dice - 0.1},
        "dice_of_cases": {f"case_{i}": value for i, value in enumerate(of_cases)},
    }  # fmt: skip
    (out / f"{arm}_{cases}_{selection}.json").write_text(json.dumps(run))


def test_table_has_means_spread_labels_and_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "scratch", 0, 0.5, 0.4, 0.6)
    write(tmp_path, "scratch", 1, 0.7, 0.6, 0.8)
    write(tmp_path, "MAE", 0, 0.6, 0.52, 0.68)
    write(tmp_path, "MAE", 2, 0.8, 0.7, 0.9)  # without a partner
    write(tmp_path, "MAE", 0, 0.9, 0.9, 0.9, cases=160)
    print_table(tmp_path)
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "| arm | pre-training, s | 2 labelled cases | 160 labelled cases |"
    assert "| scratch | 0 | 0.600 (0.500 to 0.700); 0.700, 0.500 |  |" in rows
    mae = next(row for row in rows if row.startswith("| MAE"))
    # The differences are 0.12 and 0.08; 12.706 is Student's t for one degree of freedom.
    half = 12.7062 * 0.02
    assert f"0.700 (0.600 to 0.800); 0.800, 0.600; +0.100 ({0.1 - half:+.3f} to {0.1 + half:+.3f})" in mae
    assert mae.endswith("| 0.900; 1.000, 0.800 |")
    assert len(plot(tmp_path).axes[0].containers) == 2


def test_a_selection_is_some_of_the_training_cases_and_all_of_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    training, validation = [f"case_{i:02d}" for i in range(20)], ["case_90", "case_91"]
    monkeypatch.setattr(nnUNetTrainer, "do_split", lambda _: (training, validation))
    chosen = []
    for selection in (0, 0, 1):
        trainer = object.__new__(type("Trainer", (FewLabels,), {"cases": 5, "selection": selection}))
        few, all_of_validation = trainer.do_split()
        assert all_of_validation == validation
        assert len(set(few)) == 5
        assert set(few) <= set(training)
        chosen.append(few)
    assert chosen[0] == chosen[1] != chosen[2]
