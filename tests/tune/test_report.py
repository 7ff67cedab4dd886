"""The files of the report: every number, readable, whole or not at all."""

import json
from pathlib import Path

import matplotlib.image
import pytest

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.trained import TrainedModel
from nnunetv2_factorizer.tune import report
from nnunetv2_factorizer.tune.report import findings, front_table, prepare_folder, write_report
from nnunetv2_factorizer.tune.settings import SWEEPS, TRAINED
from nnunetv2_factorizer.tune.statistics import choose, pareto_front, summarise
from nnunetv2_factorizer.tune.tuning import Tuning, settings_of
from tests.tune.test_statistics import measurements

RATIOS = {"keep0": 0.4, "keep4": 0.8, "T20": 1.0}
ALIASES = {"T5": TRAINED, "keep5": TRAINED, "rank1_hals": TRAINED, "rank1_mu": TRAINED, "withoutD1": "keep4"}


def tuning(model: TrainedModel, *sweeps: str, cases: int = 11, noise: float = 0.01) -> Tuning:
    settings = settings_of(model, sweeps or SWEEPS)
    names = [setting.name for setting in settings]
    measured_as = {name: ALIASES.get(name, name) for name in names}
    given = {name: (-0.1 * (name == "keep0"), 0, RATIOS.get(name, 1.1)) for name in names if measured_as[name] == name}
    given[TRAINED] = (0, 0, 1)
    data = measurements(given, cases, noise)
    data["labels"] = [{"lesion": {"dice": 1.0, "hd95": 0.0}}] * len(data)
    summary = summarise(data)
    chosen, reason = choose(summary, 0.005)
    return Tuning(
        settings=settings,
        measured_as=measured_as,
        flops_ratio=dict.fromkeys(names, 0.75),
        measurements=data,
        summary=summary,
        front=pareto_front(summary),
        chosen=next(setting for setting in settings if setting.name == chosen),
        reason=reason,
    )


def test_files_hold_every_number(model: TrainedModel, tmp_path: Path) -> None:
    result = tuning(model)
    write_report(tmp_path, result, {"model": "somewhere"})
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix) == ["tune.json", "tune.md", "tune.png"]
    written = json.loads((tmp_path / "tune.json").read_text())
    assert written["model"] == "somewhere"
    assert written["chosen"] == "keep4"
    assert written["pareto_front"] == ["keep0", "keep4"]
    assert len(written["measurements"]) == 11 * len(result.summary)
    settings = {setting["name"]: setting for setting in written["settings"]}
    assert settings["withoutD1"]["measured_as"] == "keep4"
    assert settings["withoutD1"]["seconds_ratio"] == pytest.approx(0.8, rel=0.02)
    assert settings["keep0"]["cost_model_ratio"] == 0.75
    table = (tmp_path / "tune.md").read_text().partition("## All settings")[2]
    assert all(f"\n| {setting.name} | {setting.description} |" in table for setting in result.settings)


def test_findings_answer_the_questions(model: TrainedModel) -> None:
    nmf, iterations, chosen, same = findings(tuning(model))
    assert "(keep0): Dice -0.1000 [-0.1000, -0.1000]" in nmf
    assert "0.750 times" in nmf
    assert iterations.startswith("**T costs no measurable time** (T20): Dice +0.0000")
    assert chosen.startswith("**Chosen: keep4** (no NMF after D2), the fastest that, at 95 % confidence, loses no more")
    assert chosen.endswith("11 cases.")
    assert all(f"{name} is {other}" in same for name, other in ALIASES.items())


def test_times_too_uncertain_for_a_verdict_get_none(model: TrainedModel) -> None:
    assert findings(tuning(model, noise=0.5))[1].startswith("**These measurements do not tell whether T costs time**")


def test_iterations_that_cost_time_are_said_to(model: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RATIOS, "T20", 1.3)
    assert "**T changes the time** (T20): " in findings(tuning(model))[1]
    assert len(findings(tuning(model, "skip"))) == 3  # without the sweep nothing is said of T


def test_one_case_has_no_intervals(model: TrainedModel, tmp_path: Path) -> None:
    result = tuning(model, cases=1)
    write_report(tmp_path, result, {})
    written = json.loads((tmp_path / "tune.json").read_text())
    assert written["chosen"] == TRAINED
    assert written["settings"][1]["dice_difference_low"] is None
    assert "[" not in front_table(result)
    assert "do not tell whether T costs time" in findings(result)[1]


def test_figure_has_a_panel_for_each_sweep(model: TrainedModel, tmp_path: Path) -> None:
    sizes = {}
    for number, sweeps in enumerate((SWEEPS[:1], SWEEPS[:2], SWEEPS), start=1):
        (tmp_path / str(number)).mkdir()
        write_report(tmp_path / str(number), tuning(model, *sweeps), {})
        picture = matplotlib.image.imread(tmp_path / str(number) / "tune.png")
        assert picture.std() > 0.05
        sizes[number] = picture.shape
    assert sizes[1][1] < sizes[2][1] == sizes[3][1]
    assert sizes[1][0] == sizes[2][0] < sizes[3][0]


def test_existing_report_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "tune.json").write_text("mine")
    with pytest.raises(UserError, match=r"tune\.json exists and was not changed\.\nGive another folder with -o"):
        prepare_folder(tmp_path)


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/OUT cannot be written: Not a directory\.\nGive another folder with -o"):
        prepare_folder(tmp_path / "file" / "OUT")
    prepare_folder(tmp_path / "new" / "OUT")
    assert list((tmp_path / "new" / "OUT").iterdir()) == []


def test_nothing_is_half_written(model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: str, tuning: Tuning) -> None:
        Path(path).write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "save_figure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path, tuning(model), {})
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
