"""`nnUNetv2_factorizer_tune`, the command: what it says when it cannot begin, and that it has not begun then."""

import sys
from pathlib import Path

import pytest

from nnunetv2_factorizer.cli import tune as command
from tests.models.conftest import CONV
from tests.models.test_model_zip import digests
from tests.tune.conftest import folder, plans, plans_of_network, trainer

__all__ = ["folder", "plans", "plans_of_network", "trainer"]


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *flags: str) -> str:
    """The message that it ends with; the model is as it was, and there is no report."""
    before, output = digests(folder.parent), folder.parents[2] / "OUT"
    monkeypatch.setenv("nnUNet_results", str(folder.parents[1]))
    monkeypatch.setattr(
        sys, "argv", ["tune", "-d", "994", "-c", "3d_fullres", "-device", "cpu", "-o", str(output), *flags]
    )
    with pytest.raises(SystemExit) as end:
        command.main()
    assert digests(folder.parent) == before
    assert not output.exists()
    return str(end.value.code)


def test_model_that_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = run(monkeypatch, folder, "-tr", "nnUNetTrainerSwinFactorizer", "-f", "0")
    assert "checkpoint_final.pth does not exist" in message
    assert "\nName the model with -d, -tr, -p and -c" in message


@pytest.mark.parametrize("sweeps", [["rank", "speed"], ["rank,speed"]])
def test_unknown_sweep(folder: Path, monkeypatch: pytest.MonkeyPatch, sweeps: list[str]) -> None:
    message = run(monkeypatch, folder, "-tr", CONV, "-f", "0", "--sweep", *sweeps)
    assert message.startswith("'speed' is not one of the sweeps.\nGive some of iterations, skip, leave-one-out, rank")


def test_no_preprocessed_data(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "preprocessed"))
    message = run(monkeypatch, folder, "-tr", CONV, "-f", "0")
    assert "splits_final.json does not exist" in message
    assert "\nSet nnUNet_preprocessed to the folder" in message


def test_no_monai(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monai.metrics", None)
    assert "pip install monai" in run(monkeypatch, folder, "-tr", CONV, "-f", "0")


def test_num_cases_is_positive(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, folder, "-tr", CONV, "-num_cases", "0") == "2"
    assert "argument -num_cases: must be a whole number of at least 1, got 0" in capsys.readouterr().err
