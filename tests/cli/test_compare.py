"""`nnUNetv2_factorizer_compare`, the command: what it refuses before anything is trained, and its help."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nnunetv2_factorizer.cli import compare as command
from tests.training.networks import plans_of
from tests.training.small_trainer import DATASET, make_folders

FLAGS = ("-d", "997", "-c", "3d_fullres", "-device", "cpu", "--disable_progress_bar")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nnU-Net's folders, with ten cases whose files are empty."""
    data = make_folders(tmp_path, monkeypatch, 2, plans_of("Hybrid"))
    for number in range(9):
        (data / f"case_{number}.b2nd").touch()
    (data.parent / "nnUNetPlans.json").write_text(json.dumps(plans_of("PlainConvUNet")))
    monkeypatch.setattr(command, "run_locally", lambda *_, **__: None)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, folder: Path, *flags: str, network: str = "Hybrid") -> Any:
    given = () if "-h" in flags else (*FLAGS, "-o", str(folder / "out"), "--networks", *network.split())
    budget = () if "--budget" in flags else ("--budget", "4 iterations")
    monkeypatch.setattr(sys, "argv", ["compare", *given, *budget, *flags])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code


@pytest.mark.parametrize(
    ("flags", "network", "said"),
    [
        (("--budget", "a while"), "Hybrid", "is no budget"),
        (("--memory", "0"), "Hybrid", "--memory must be above 0"),
        ((), "Hybird", "there is no network 'Hybird'"),
        (("-p", "nnUNetFactorizerPlans"), "nnU-Net", "so that nnU-Net is not nnU-Net's.\nGive plans of nnU-Net"),
        ((), "ResEncM ResEncL", "ResEncM and ResEncL are the same network at the same patch"),
        (("-p", "myPlans"), "Hybrid", "myPlans.json does not exist."),
        (("-c", "2d"), "Hybrid", "has no configuration 2d.\nGive one of 3d_fullres"),
        (("-f", "all"), "Hybrid", "the fold all has no validation cases"),
        (("-f", "7"), "Hybrid", "and no fold 7."),
        (("-d", "77"), "Hybrid", "Give the ID or the name of one of your data sets"),
        (("--slurm", "gpu"), "Hybrid", "slurm"),
    ],
)
def test_what_is_refused_before_anything_runs(
    flags: tuple[str, ...], network: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said in call(monkeypatch, folder, *flags, network=network)
    assert not (folder / "out").exists()


def test_a_folder_of_another_comparison(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "1 of 1 runs have no result." in call(monkeypatch, folder)
    before = {path: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()}
    assert "Hybrid  fold 0  new      nnUNetTrainerHybridFactorizer" in capsys.readouterr().out
    assert "budget is 4 iterations there and 20 iterations here" in call(
        monkeypatch, folder, "--budget", "20 iterations"
    )
    assert "memory is None there and 8.0 here" in call(monkeypatch, folder, "--memory", "8")
    plans_file = folder / "preprocessed" / DATASET / "nnUNetPlans.json"
    plans = plans_of("PlainConvUNet")
    plans["configurations"]["3d_fullres"]["batch_size"] = 3
    plans_file.write_text(json.dumps(plans))
    assert "holds another comparison: plans_sha256" in call(monkeypatch, folder)
    assert before == {path: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()}
    plans_file.write_text(json.dumps(plans_of("PlainConvUNet")))
    assert "2 of 2 runs have no result" in call(monkeypatch, folder, network="Hybrid Swin")  # more may be added
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.tex").touch()
    assert "is no comparison, and not empty" in call(monkeypatch, folder, "-o", str(folder / "mine"))


def test_without_monai(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monai.metrics", None)
    assert "HD95 is computed by MONAI, which cannot be imported" in call(monkeypatch, folder)


def test_help_is_enough_to_work_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, folder, "-h") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert '"1000 iterations", or "20 minutes" of training' in said
    assert "nnU-Net, ResEncM, ResEncL, Primus" in said
    assert "nnUNetv2_predict_from_modelfolder" in said
