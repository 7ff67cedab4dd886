"""The command, on networks that pass, that fail, and that do not exist."""

import json
import sys
from pathlib import Path

import pytest

from nnunetv2_factorizer.cli.check_architecture import main
from nnunetv2_factorizer.conformance import CHECKS

FAST = ["--skip", "3d", "3d_anisotropic", "torch_compile", "torch_export", "memory_estimate"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_check_architecture", *arguments])
    main()


def test_a_network_that_passes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "tests.conformance.broken.Good", *FAST)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["check", "2d", "3d", "3d_anisotropic"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1 : len(CHECKS) + 1]}
    assert rows["shapes"] == ["ok", "-", "-"]
    assert rows["torch_compile"] == ["-", "-", "-"]
    assert lines[-1] == "tests.conformance.broken.Good: 16 passed, 0 failed, 41 skipped"


def test_a_network_that_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        run(monkeypatch, "tests.conformance.broken.Softmax", *FAST)
    assert exit_info.value.code == 1
    output = capsys.readouterr().out
    assert "heads [2d]: output 0 is not linear" in output
    assert "15 passed, 1 failed, 41 skipped" in output


def test_skipping_what_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "tests.conformance.broken.Softmax", *FAST, "heads")
    assert "15 passed, 0 failed, 42 skipped" in capsys.readouterr().out


def test_arguments_from_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "arch_kwargs.json"
    file.write_text(json.dumps({"embed_dim": 8}))
    run(monkeypatch, "tests.conformance.broken.WantsMore", "--arch_kwargs", str(file), *FAST)
    assert "0 failed" in capsys.readouterr().out


def test_list_names_every_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "--list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(CHECKS)
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tests.conformance.broken.Goood"], "nothing of this name can be imported\\.\nCheck the spelling"),
        (["tests.conformance.nowhere.Good"], "nothing of this name can be imported\\.\nCheck the spelling"),
        (["tests.conformance.broken.after"], "must be a class derived from torch.nn.Module"),
        (["tests.conformance.broken.Good", "--skip", "shape"], "skip must name checks or configurations, got shape"),
        (["tests.conformance.broken.Good", "--arch_kwargs", "/nowhere.json"], "No such file"),
    ],
)
def test_errors_are_a_cause_and_a_remedy(monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message) as exit_info:
        run(monkeypatch, *arguments)
    # A message as the code: Python prints it and exits with status 1.
    assert str(exit_info.value.code).count("\n") == 1


def test_a_module_that_fails_when_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "module_that_fails.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit, match=r"cannot be imported: .*No module named 'nothing_of_this_name'"):
        run(monkeypatch, "module_that_fails.Network")
