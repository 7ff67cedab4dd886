"""The benchmark of a GPU: all of it runs on a CPU at a small size; a section that fails does not fail others."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from benchmarks.gpu.__main__ import SECTIONS
from benchmarks.gpu.goals import goals
from benchmarks.gpu.kernels import compiled_kernels
from benchmarks.gpu.lines import END, Line, read
from benchmarks.gpu.processes import Section, run
from benchmarks.gpu.report import report

SHORT = [name for name in SECTIONS if name != "training"]


def command(*arguments: str) -> str:
    whole = [sys.executable, "-m", "benchmarks.gpu", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(whole, check=True, capture_output=True, text=True, env=environment).stdout


def of(file: Path, section: str) -> dict[str, Line]:
    return {line["key"]: line for line in read(file) if line["section"] == section}


def test_all_sections_run_on_a_cpu_and_nothing_is_measured_twice(tmp_path: Path) -> None:
    file = tmp_path / "gpu.jsonl"
    arguments = ("-o", str(file), "--minutes", "8", "--sections", *SHORT)
    command(*arguments)
    lines = read(file)
    assert [line for line in lines if "error" in line] == []
    assert lines[0]["key"] == "machine"
    for name in SHORT:
        assert END in of(file, name)
        assert len(of(file, name)) > 1
    before = file.read_bytes()
    assert command(*arguments) == ""
    assert file.read_bytes() == before
    printed = command("report", str(file))
    assert printed.count("\nnot measured") == 1  # the training
    assert "| operator against float64, repeated, on zeros: items that pass |" in printed
    assert "### Errors" not in printed


@pytest.mark.slow
def test_the_training_runs_on_a_cpu(tmp_path: Path) -> None:
    file = tmp_path / "gpu.jsonl"
    command("-o", str(file), "--minutes", "10", "--sections", "training")
    short = of(file, "training")["short"]
    assert short["iterations"] == 50
    assert short["seconds_per_iteration"] > 0
    assert short["dice"] > 0


def test_what_dies_or_hangs_leaves_an_error_and_the_others_go_on(tmp_path: Path) -> None:
    file = tmp_path / "gpu.jsonl"
    here = "tests.benchmarks.sections"
    sections = {f"{here}.dies": Section(10), f"{here}.hangs": Section(1), f"{here}.works": Section(9, processes=2)}
    run(file, sections, 60)
    dies, hangs, works = (of(file, name) for name in ("dies", "hangs", "works"))
    assert list(dies) == ["before", "fatal", "wrong", "after", END]
    assert "code 3" in dies["fatal"]["error"]
    assert dies["wrong"]["error"] == "ValueError: as it must be"
    assert dies["after"]["process"] != dies["before"]["process"]
    assert "time of the section was over" in hangs["endless"]["error"]
    assert END not in hangs
    assert has_ended(hangs["child"]["process"])
    assert len({works[f"item {number}"]["process"] for number in range(4)}) == 2
    assert len([line for line in read(file) if line["section"] == "works"]) == 4 + 1

    run(file, {f"{here}.dies": Section(1), f"{here}.works": Section(1)}, 90)
    again = of(file, "dies")
    assert again["before"] == dies["before"]
    assert "code 3" in again["fatal"]["error"]
    assert "error" not in again["after"]
    assert of(file, "works") == works


def has_ended(process: int) -> bool:
    for _ in range(50):
        status = Path(f"/proc/{process}/status")
        if not status.is_file() or "State:\tZ" in status.read_text(encoding="utf-8"):
            return True
        time.sleep(0.1)
    return False


def lines_of_a_run(*, ms: float, share: float, peak: float, error: float, last_loss: float) -> list[Line]:
    """Of the goals' sections; the limits are at 100 ms, 0.7, 1000 +- 100 MiB, 1e-4 and a loss of 1."""
    step: dict[str, Any] = {
        "first_step_s": 30.0, "reserved_mib": 2000.0, "model_mib": 1000.0, "recompilations": 0, "graph_breaks": 0,
        "synchronisations": 2, "loss": "of a test",
    }  # fmt: skip
    lines = [{"section": "steps", "key": f"PlainConvUNet, {mode}", "ms": 100.0, "peak_mib": 3000.0, **step}
             for mode in ("compiled", "eager")]  # fmt: skip
    for name in ("Hybrid", "Conv", "Swin"):
        for mode in ("compiled", "eager"):
            lines.append({"section": "steps", "key": f"{name}, {mode}", "ms": ms, "peak_mib": peak, **step})
    operator = {"ms": 1.0, "copy_ms": share, "share": share}
    lines.append(
        {"section": "bandwidth", "key": "stage 0", "volume": [2, 8], "triton": True}
        | {"forward": operator, "backward": operator}
    )
    lines += [
        {"section": "agreement", "key": key, "dtype": "float16", "losses": [1.0, 0.9, last_loss]}
        for key in ("half compiled", "half eager", "float32 eager")
    ]
    checked = {"forward": error, "backward": error, "tolerance": 1e-4, "repeats": True, "triton": True}
    lines.append({"section": "kernels", "key": "a shape, float32", **checked, "passes": error <= 1e-4})
    return [*lines, {"section": "kernels", "key": END, "seconds": 1.0}]


GOOD = {"ms": 99.0, "share": 0.71, "peak": 1090.0, "error": 1e-6, "last_loss": 0.5}


@pytest.mark.parametrize(
    ("worse", "of_goal"),
    [
        ({"ms": 101.0}, "training step, compiled"),
        ({"share": 0.69}, "operator, share of a device copy"),
        ({"peak": 1110.0}, "peak of a training step"),
        ({"peak": 890.0}, "peak of a training step"),
        ({"error": 1e-3}, "operator against float64"),
        ({"error": float("nan")}, "operator against float64"),
        ({"last_loss": 1.1}, "the loss falls"),
        ({"last_loss": float("nan")}, "the loss falls"),
    ],
)
def test_a_goal_passes_or_fails(worse: dict[str, float], of_goal: str) -> None:
    verdicts = {goal.what: goal.verdict for goal in goals(lines_of_a_run(**GOOD))}
    assert set(verdicts.values()) == {"pass"}
    lines = lines_of_a_run(**{**GOOD, **worse})
    verdicts = {goal.what: goal.verdict for goal in goals(lines)}
    failed = {what for what, verdict in verdicts.items() if verdict == "fail"}
    assert failed == {what for what in verdicts if what.startswith(of_goal)}
    assert failed
    printed = report(lines)
    assert printed.count("| fail |") == len(failed)
    assert printed.count("| pass |") == len(verdicts) - len(failed)


def test_an_item_of_the_kernels_with_an_error_fails_the_goal_and_is_shown() -> None:
    lines = [*lines_of_a_run(**GOOD), {"section": "kernels", "key": "another, float16", "error": "RuntimeError: no"}]
    assert goals(lines)[0].verdict == "fail"
    assert "| kernels | another, float16 | RuntimeError: no |" in report(lines)


def test_what_was_not_measured_is_said_to_be_so() -> None:
    assert {goal.verdict for goal in goals([])} == {"not measured"}
    printed = report([])
    assert printed.count("\nnot measured") == 1 + printed.count("###")  # the machine, and each section
    halfway = [line for line in lines_of_a_run(**GOOD) if line["key"] != END]
    assert goals(halfway)[0].verdict == "not measured"


def test_compiled_kernels_are_found_in_tritons_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = SimpleNamespace(metadata=SimpleNamespace(shared=0))
    function = SimpleNamespace(device_caches={0: ({"key": kernel}, {"signature": "key"}, "target")})
    module: Any = ModuleType("some_kernels")
    module.plain, module.tuned, module.other = function, SimpleNamespace(fn=function), os
    monkeypatch.setitem(sys.modules, "nnunetv2_factorizer.factorization.kernels.some_kernels", module)
    assert [(name, found) for name, found in compiled_kernels() if found is kernel] == [("plain", kernel)]
