"""`nnUNetv2_factorizer_style_bank` and `nnUNetv2_factorizer_predict_style`, beside `nnUNetv2_predict`."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_factorizer.adaptation.style.bank import Bank
from nnunetv2_factorizer.cli import predict_style, screen
from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder
from tests.end_to_end.conftest import SWIN
from tests.end_to_end.workspace import Workspace

MODEL = ("-c", "3d_fullres", "-tr", SWIN, "-f", "0")
QUIET = ("-device", "cpu", "--disable_progress_bar")
ALONE = ("-npp", "0", "-nps", "0", "--disable_tta", *QUIET)


@pytest.fixture(scope="module")
def bank(phantom: Workspace, trained: Path) -> Path:
    """Of the fold that was trained."""
    done = phantom.run(
        "nnUNetv2_factorizer_style_bank", "-d", phantom.dataset_id, *MODEL, "--disable_progress_bar"
    )  # fmt: skip
    assert "no image, no phase, no name of a case" in done.stdout
    return trained / "style_bank.npz"


Predict = Callable[..., str]


@pytest.fixture
def _trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of this process find the trainer of the model."""
    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(trainers_folder()), str(Path(__file__).parent / "trainers")]))


@pytest.fixture
def predict(
    phantom: Workspace, bank: Path, _trainers: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Predict:
    """Predicts `imagesTs` in this process, which saves seconds, and gives what is said."""

    def run(output: Path, *flags: str, fails: bool = False) -> str:
        images = str(phantom.raw / "imagesTs")
        command = ["predict_style", "-i", images, "-o", str(output), "-m", str(bank.parents[1]), "-f", "0", *ALONE]
        monkeypatch.setattr(sys, "argv", [*command, *flags])
        if fails:
            with pytest.raises(SystemExit) as error:
                predict_style.main()
            return str(error.value) + capsys.readouterr().err
        predict_style.main()
        return capsys.readouterr().out

    return run


def test_bank_of_the_training_images(phantom: Workspace, bank: Path) -> None:
    splits = json.loads((phantom.preprocessed / "splits_final.json").read_text())
    read = Bank.load(bank)
    assert len(read.styles) == len(splits[0]["train"])
    assert read.plans == "nnUNetPlans"
    assert len(read.preprocessing.channels) == 4


def test_shut_it_is_nnunets_prediction(phantom: Workspace, predicted: Path, bank: Path, tmp_path: Path) -> None:
    done = phantom.run(
        "nnUNetv2_factorizer_predict_style", "-i", str(phantom.raw / "imagesTs"), "-o", str(tmp_path), "-d",
        phantom.dataset_id, *MODEL, *ALONE, "--gate", "shut", "--save_probabilities",
    )  # fmt: skip
    assert "The gate is shut: these are the predictions of nnUNetv2_predict" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in predicted.iterdir()} | {"style.json"}
    for path in predicted.glob("*.nii.gz"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
        name = path.name.replace(".nii.gz", ".npz")
        probabilities = [np.load(folder / name)["probabilities"] for folder in (tmp_path, predicted)]
        np.testing.assert_array_equal(*probabilities)


@pytest.mark.parametrize("method", ["histogram", "fourier"])
def test_open_and_interrupted(predict: Predict, predicted: Path, tmp_path: Path, method: str) -> None:
    flags = ("--gate", "open", "--method", method, "--donors", "2")
    said = predict(tmp_path, *flags)
    assert "phantom_Ts000: restyled by 2 donors" in said
    assert "2 of 2 images were restyled" in said
    record = json.loads((tmp_path / "style.json").read_text())
    assert record["settings"]["method"] == method
    assert len(record["cases"]["phantom_Ts001"]["donors"]) == 2
    lost, kept = sorted(tmp_path.glob("*.nii.gz"))
    assert lost.read_bytes() != (predicted / lost.name).read_bytes()
    before, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    said = predict(tmp_path, "--gate", "shut", "--continue_prediction", fails=True)
    assert f"was begun with other settings: gate open, method {method}" in said
    assert not lost.exists()
    predict(tmp_path, *flags, "--continue_prediction")
    assert lost.read_bytes() == content
    assert kept.stat().st_mtime_ns == before
    assert json.loads((tmp_path / "style.json").read_text()) == record


def test_the_screen_is_the_gate(
    predict: Predict, phantom: Workspace, predicted: Path, bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = predict(tmp_path / "out", fails=True)
    assert "--gate auto asks the screen, but" in said
    assert "screen.json does not exist.\nMake it with `nnUNetv2_factorizer_screen fit" in said
    assert "--gate open" in said
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv("nnUNet_preprocessed", str(phantom.preprocessed.parent))
    monkeypatch.setattr(sys, "argv", ["screen", "fit", "-m", str(bank.parents[1]), "-f", "0", *QUIET])
    screen.main()
    path = bank.with_name("screen.json")
    statistics = json.loads(path.read_text())
    try:
        for unit, shifted in ((1e-6, True), (1e6, False)):
            path.write_text(json.dumps(statistics | {"unit": statistics["unit"] * unit}))
            output = tmp_path / str(shifted)
            said = predict(output, "--donors", "1")
            assert f"{2 * shifted} of 2 images were restyled" in said
            for case, entry in json.loads((output / "style.json").read_text())["cases"].items():
                assert (entry["distance"] > 1) is entry["shifted"] is entry["restyled"] is shifted
                same = (output / f"{case}.nii.gz").read_bytes() == (predicted / f"{case}.nii.gz").read_bytes()
                assert same is not shifted
        path.write_text(json.dumps(statistics | {"checkpoint_sha256": "0" * 64}))
        assert "was made with another checkpoint" in predict(tmp_path / "out", fails=True)
    finally:
        path.unlink()


def test_errors_name_cause_and_remedy(predict: Predict, bank: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    for flags, cause in (
        (("--gate", "open", "--radius", "0.001"), "holds frequency 0 alone"),
        (("--gate", "open", "--radius", "9"), "not up to the radius 9"),
        (("--gate", "open", "-i", "/nowhere"), "/nowhere is no folder"),
        (("--gate", "open", "-i", "/usr"), "holds no images with the names that nnU-Net asks for"),
        (("-npp", "1"), "both 0 (one process for all) or both at least 1, got 1, 0"),
        (("--method", "histogram", "--donors_by", "random", "--radius", "0.1"), "--radius is of no use"),
        (("--radius", "-1"), "must be a number of cycles per mm above 0, got -1"),
        (("-f", "3"), "the folds with checkpoint_final.pth are: 0"),
    ):
        assert cause in predict(output, *flags, fails=True)
    kept = tmp_path / "kept.npz"
    shutil.move(bank, kept)
    try:
        assert "this fold has no style bank.\nMake it with" in predict(output, "--gate", "open", fails=True)
    finally:
        shutil.move(kept, bank)
    assert not output.exists()
    assert "cannot be written" in predict(Path("/dev/null/out"), "--gate", "open", fails=True)
