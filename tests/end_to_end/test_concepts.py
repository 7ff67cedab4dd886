"""`nnUNetv2_factorizer_concepts`: dictionary, predictions and evaluation of a trained model, and its refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from tests.end_to_end.conftest import SWIN
from tests.end_to_end.datasets import values, write_rgb
from tests.end_to_end.workspace import Workspace

COMMAND = "nnUNetv2_factorizer_concepts"
QUIET = ("-device", "cpu", "--disable_progress_bar")


@pytest.fixture(scope="module")
def dictionary(phantom: Workspace, trained: Path) -> Path:
    """Of the training images of the fold."""
    folder = phantom.folder / "dictionary"
    phantom.run(
        COMMAND, "fit", "-d", phantom.dataset_id, "-c", "3d_fullres", "-tr", SWIN, "-f", "0", "-k", "8",
        "-o", str(folder), *QUIET,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def concepts(phantom: Workspace, dictionary: Path) -> Path:
    """Categories of the test images, two of which have names, the same."""
    output, names = phantom.folder / "concepts", phantom.folder / "names.json"
    names.write_text('{"1": "air", "2": "air"}')
    phantom.run(
        COMMAND, "predict", "-i", str(phantom.raw / "imagesTs"), "-o", str(output), "--dictionary", str(dictionary),
        "--names", str(names), "--disable_tta", *QUIET,
    )  # fmt: skip
    return output


def test_dictionary(phantom: Workspace, dictionary: Path) -> None:
    assert sorted(path.name for path in dictionary.iterdir()) == [
        "dictionary.json", "dictionary.npz", "gallery.html", "gallery.png",
    ]  # fmt: skip
    record = json.loads((dictionary / "dictionary.json").read_text())
    splits = json.loads((phantom.preprocessed / "splits_final.json").read_text())
    assert record["categories"] == 8
    assert record["cases"] == len(splits[0]["train"])
    with np.load(dictionary / "dictionary.npz") as arrays:
        used = set(arrays["nearest_cases"].ravel().tolist()) - {""}
    assert used <= set(splits[0]["train"])


def test_predictions_have_the_geometry_of_the_images(phantom: Workspace, concepts: Path) -> None:
    record = json.loads((concepts / "concepts.json").read_text())
    assert record["names"] == {"1": "air", "2": "air"}
    assert "1: air" in (concepts / "gallery" / "gallery.html").read_text()
    for case in ("phantom_Ts000", "phantom_Ts001"):
        image = sitk.ReadImage(str(phantom.raw / "imagesTs" / f"{case}_0000.nii.gz"))
        written = sitk.ReadImage(str(concepts / f"{case}.nii.gz"))
        for what in ("Size", "Spacing", "Origin", "Direction"):
            assert getattr(written, f"Get{what}")() == getattr(image, f"Get{what}")()
        values, counts = np.unique(sitk.GetArrayFromImage(written), return_counts=True)
        assert record["cases"][case] == {str(v): n for v, n in zip(values, counts.tolist(), strict=True)}
        assert len(values) > 4


@pytest.mark.parametrize("protocol", ["matching", "matching-normalised"])
def test_evaluation(phantom: Workspace, concepts: Path, protocol: str) -> None:
    flags = ("--predictions", str(concepts), "--labels", str(phantom.raw / "labelsTs"), "--protocol", protocol)
    done = phantom.run(COMMAND, "evaluate", *flags, "--disable_progress_bar")
    result = json.loads((concepts / f"evaluation_{protocol}.json").read_text())
    assert set(result["mean"]) == {"background", "oedema", "core"}
    assert set(result["cases"]) == {"phantom_Ts000", "phantom_Ts001"}
    assert result["mean"]["background"]["Dice"] > 0.5
    assert "which flatters" in done.stdout
    again = phantom.run(COMMAND, "evaluate", *flags, check=False)
    assert again.returncode != 0
    assert "exists and was not changed" in again.stderr


def test_nothing_is_overwritten(phantom: Workspace, dictionary: Path, concepts: Path) -> None:
    before = {path: path.read_bytes() for folder in (dictionary, concepts) for path in folder.glob("*.*")}
    images = str(phantom.raw / "imagesTs")
    for command in (
        ("fit", "-d", phantom.dataset_id, "-c", "3d_fullres", "-tr", SWIN, "-f", "0", "-o", str(dictionary)),
        ("predict", "-i", images, "-o", str(concepts), "--dictionary", str(dictionary)),
    ):
        failed = phantom.run(COMMAND, *command, *QUIET, check=False)
        assert failed.returncode != 0
        assert "exists and was not changed.\nGive another folder with -o" in failed.stderr
        assert "Traceback" not in failed.stderr
    for path, content in before.items():
        assert path.read_bytes() == content


def test_dictionary_of_another_model(phantom: Workspace, dictionary: Path, tmp_path: Path) -> None:
    record = json.loads((dictionary / "dictionary.json").read_text())
    record["identity"]["checkpoint_sha256"] = "0" * 64
    (tmp_path / "dictionary.json").write_text(json.dumps(record))
    (tmp_path / "dictionary.npz").write_bytes((dictionary / "dictionary.npz").read_bytes())
    failed = phantom.run(
        COMMAND, "predict", "-i", str(phantom.raw / "imagesTs"), "-o", str(tmp_path / "out"),
        "--dictionary", str(tmp_path), *QUIET, check=False,
    )  # fmt: skip
    assert failed.returncode != 0
    assert "the dictionary was made for another model: its checkpoint_sha256 is 000" in failed.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """RGB images in PNG, nnU-Net's own network in 2D, and a dictionary of it."""
    workspace = Workspace(tmp_path_factory.mktemp("discs"), "Dataset995_Discs")
    write_rgb(workspace.raw)
    workspace.plan_and_preprocess("2d")
    workspace.train("nnUNetTrainerShort", configuration="2d", SKIP_VALIDATION="1")
    workspace.run(
        COMMAND, "fit", "-d", "995", "-c", "2d", "-tr", "nnUNetTrainerShort", "-f", "0", "-k", "8", "-o",
        str(workspace.folder / "dictionary"), "--stage", "encoder.stages.0", *QUIET,
    )  # fmt: skip
    return workspace


def predict_discs(discs: Workspace, images: str, output: Path, *flags: str, **options: Any) -> Any:
    """Predicts `imagesTr` or `imagesTs`; `options` are those of `run`."""
    dictionary = str(discs.folder / "dictionary")
    return discs.run(
        COMMAND, "predict", "-i", str(discs.raw / images), "-o", str(output), "--dictionary", dictionary,
        "--disable_tta", *flags, *QUIET, **options,
    )  # fmt: skip


def test_nnunets_own_network_in_2d(discs: Workspace, tmp_path: Path) -> None:
    """The training images decide which label a category stands for; the test image is scored."""
    predict_discs(discs, "imagesTr", tmp_path / "fit")
    for mode in ("fixed", "assign"):
        output = tmp_path / mode
        predict_discs(discs, "imagesTs", output, "--mode", mode, "--soft")
        assert len(values(output / "nuclei_Ts000.png")) > 1
        assert values(output / "nuclei_Ts000.png") <= set(range(9))
        assert len(list((output / "soft").glob("nuclei_Ts000_*.nii.gz"))) == 8
    for protocol in ("matching", "probe"):
        discs.run(
            COMMAND, "evaluate", "--predictions", str(tmp_path / "fixed"), "--labels", str(discs.raw / "labelsTs"),
            "--fit_predictions", str(tmp_path / "fit"), "--fit_labels", str(discs.raw / "labelsTr"), "--protocol",
            protocol, "--dictionary", str(discs.folder / "dictionary"), "-o", str(tmp_path / f"{protocol}.json"),
        )  # fmt: skip
        result = json.loads((tmp_path / f"{protocol}.json").read_text())
        assert result["mean"]["nucleus"]["Dice"] > 0.8
        assert result["decided_on"] == str(tmp_path / "fit")


def test_an_interrupted_prediction_goes_on(discs: Workspace, tmp_path: Path) -> None:
    output = tmp_path / "out"
    predict_discs(discs, "imagesTr", output)
    record = json.loads((output / "concepts.json").read_text())
    segmentations = {path: path.read_bytes() for path in output.glob("*.png")}
    lost, kept = sorted(segmentations)[:2]
    lost.unlink()
    (output / "concepts.json").write_text(json.dumps(record | {"cases": {}}))
    before = kept.stat().st_mtime_ns
    refused = predict_discs(discs, "imagesTr", output, check=False)
    assert "exists and was not changed" in refused.stderr
    other = predict_discs(discs, "imagesTr", output, "--continue_prediction", "--mode", "assign", check=False)
    assert "was begun in mode fixed" in other.stderr
    assert not lost.exists()
    predict_discs(discs, "imagesTr", output, "--continue_prediction")
    assert {path: path.read_bytes() for path in output.glob("*.png")} == segmentations
    assert kept.stat().st_mtime_ns == before
    assert json.loads((output / "concepts.json").read_text()) == record
