"""`nnUNetv2_factorizer_doctor`, the command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nnunetv2_factorizer.cli import doctor
from nnunetv2_factorizer.doctor.finding import Finding, as_table
from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder
from tests.doctor.test_pickles import Malicious


@pytest.fixture(autouse=True)
def _variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv(VARIABLE, str(trainers_folder()))
    monkeypatch.chdir(tmp_path)


def run(monkeypatch: pytest.MonkeyPatch, *flags: str) -> int:
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_factorizer_doctor", *flags])
    with pytest.raises(SystemExit) as end:
        doctor.main()
    assert isinstance(end.value.code, int)
    return end.value.code


def test_all_right(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert {"nnunetv2", "torch", "GPU", "triton", "import nnunetv2", "nnUNet_raw", "nnUNetTrainerConvFactorizer"} <= {
        finding["name"] for finding in answer["findings"]
    }


def test_a_problem_ends_in_1_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "nowhere"))
    assert run(monkeypatch) == 1
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("error    nnUNet_results"))
    assert lines[at + 1].strip().startswith("-> Create it, or export nnUNet_results=")
    assert sum(line.startswith("error") for line in lines) == 1


def test_an_nnunet_that_cannot_be_imported_is_a_finding(tmp_path: Path) -> None:
    """In a Python of its own, with an empty package called nnunetv2 before the installed one."""
    (tmp_path / "nnunetv2").mkdir()
    (tmp_path / "nnunetv2" / "__init__.py").touch()
    command = [sys.executable, "-c", "from nnunetv2_factorizer.cli.doctor import main; main()", "--json"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    status = {finding["name"]: finding["status"] for finding in json.loads(done.stdout)["findings"]}
    assert status["import nnunetv2"] == "error"
    assert status["trainers"] == "error"
    assert status["torch"] == "ok"


def test_a_malicious_checkpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    proof, path = tmp_path / "ran", tmp_path / "checkpoint_final.pth"
    torch.save({"network_weights": Malicious(proof)}, path)
    assert run(monkeypatch, "--checkpoint", str(path)) == 1
    assert "loading it would call posix.system" in capsys.readouterr().out
    assert not proof.exists()


def test_names_from_files_do_not_steer_the_terminal() -> None:
    table = as_table([Finding("checkpoint", "ok", "trainer \x1b[2J\nok  forged é")])
    assert table == r"ok       checkpoint  trainer \x1b[2J\nok  forged é"
