"""The zip: what is in it, that nothing else is touched, and that it is there whole or not at all."""

import hashlib
import io
import json
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from nnunetv2_factorizer.cli import export as command
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.installation import install_command, released_from
from nnunetv2_factorizer.models import model_zip
from nnunetv2_factorizer.models.checkpoint import PLAIN_TYPES
from nnunetv2_factorizer.models.model_zip import export_models
from tests.models.conftest import CONV

TARGET = "Dataset994_Export/nnUNetTrainer__nnUNetPlans_ConvFactorizer__3d_fullres"


def digests(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def test_zip_holds_the_model_and_the_training_is_not_touched(model: Path, tmp_path: Path) -> None:
    before = digests(model)
    output = tmp_path / "model.zip"
    assert export_models([model], output, ["0", "1"], ["checkpoint_final.pth"]) == [TARGET]
    assert digests(model) == before
    with zipfile.ZipFile(output) as archive:
        folds = [
            f"fold_{fold}/{name}" for fold in (0, 1) for name in ("checkpoint_final.pth", "validation/summary.json")
        ]
        names = [*folds, "plans.json", "dataset.json", "dataset_fingerprint.json", "factorizer_export.json"]
        assert sorted(archive.namelist()) == sorted(f"{TARGET}/{name}" for name in names)
        record = json.loads(archive.read(f"{TARGET}/factorizer_export.json"))
        plans = json.loads(archive.read(f"{TARGET}/plans.json"))
        with torch.serialization.safe_globals(PLAIN_TYPES):
            weights = io.BytesIO(archive.read(f"{TARGET}/fold_1/checkpoint_final.pth"))
            checkpoint = torch.load(weights, weights_only=True)
    assert record["trainer"] == CONV
    assert record["plans"] == "nnUNetPlans"
    assert record["nnunetv2-factorizer"] == version("nnunetv2-factorizer")
    assert record["installed"] == released_from()
    assert checkpoint["trainer_name"] == "nnUNetTrainer"
    assert checkpoint["init_args"]["plans"] == plans
    original = torch.load(model / "fold_1" / "checkpoint_final.pth", weights_only=False)["network_weights"]
    torch.testing.assert_close(checkpoint["network_weights"], original, rtol=0, atol=0)


def test_existing_zip_is_not_overwritten(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.zip"
    output.write_text("mine")
    with pytest.raises(UserError, match=r"model\.zip exists and was not changed\.\nGive another file with -o"):
        export_models([model], output, ["0"], ["checkpoint_final.pth"])
    assert output.read_text() == "mine"


def test_missing_fold_is_named_with_those_that_are_there(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fold_2.checkpoint_final\.pth does not exist; .* are: 0 1\."):
        export_models([model], tmp_path / "model.zip", ["0", "2"], ["checkpoint_final.pth"])


def test_nothing_is_left_of_an_export_that_fails(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter([None, UserError("would predict something else", "")])

    def check(*args: Any) -> None:
        error = next(calls)
        if error:
            raise error

    monkeypatch.setattr(model_zip, "check_predictions", check)
    with pytest.raises(UserError, match="would predict something else"):
        export_models([model], tmp_path / "model.zip", ["0", "1"], ["checkpoint_final.pth"])
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


class Command:
    """What is given to the shell."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this must not run",)


def test_checkpoint_that_would_run_something_is_refused(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.save({"network_weights": Command()}, model / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(UserError, match=r"checkpoint_final\.pth asks for .*print"):
        export_models([model], tmp_path / "model.zip", ["0"], ["checkpoint_final.pth"])
    assert "must not run" not in capfd.readouterr().out


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["nnUNetv2_factorizer_export", *arguments])
    command.main()


def test_command_finds_the_model_and_says_how_to_use_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    dataset, by_name, by_folder = "Dataset994_Export", tmp_path / "by name.zip", tmp_path / "by_folder.zip"
    run(monkeypatch, "-d", dataset, "-tr", CONV, "-f", "0", "-o", str(by_name))
    printed = capsys.readouterr().out
    assert install_command() in printed
    assert "nnUNetv2_install_pretrained_model_from_zip 'by name.zip'" in printed
    assert "pip install nnunetv2-factorizer" not in printed
    assert f"nnUNetv2_predict -d {dataset} -p nnUNetPlans_ConvFactorizer -c 3d_fullres -f 0 -i" in printed
    run(monkeypatch, "-m", str(model), "-f", "0", "-o", str(by_folder))
    assert zipfile.ZipFile(by_name).namelist() == zipfile.ZipFile(by_folder).namelist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-d", "Dataset994_Export", "-tr", "nnUNetTrainerFactorizer"], "there is no such model"),
        (["-d", "Dataset994_Export", "-tr", CONV], "the folds with checkpoint_final.pth are: 0 1"),
        (["-d", "Dataset994_Export", "-tr", CONV, "-c", "2d", "-f", "0"], "are: none"),
    ],
)
def test_command_says_why_it_fails(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "results"))
    with pytest.raises(SystemExit, match=message) as stop:
        run(monkeypatch, *arguments, "-o", str(tmp_path / "model.zip"))
    assert stop.value.code != 0
    assert len(str(stop.value).splitlines()) <= 2
    assert not (tmp_path / "model.zip").exists()
