"""`nnUNetv2_factorizer_concepts`: dictionary, predictions and evaluation of a trained model, and its refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tests.end_to_end.conftest import SWIN
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
    assert "1: air" in (concepts / "gallery.html").read_text()
    for case in ("phantom_Ts000", "phantom_Ts001"):
        image = sitk.ReadImage(str(phantom.raw / "imagesTs" / f"{case}_0000.nii.gz"))
        written = sitk.ReadImage(str(concepts / f"{case}.nii.gz"))
        for what in ("Size", "Spacing", "Origin", "Direction"):
            assert getattr(written, f"Get{what}")() == getattr(image, f"Get{what}")()
        values, counts = np.unique(sitk.GetArrayFromImage(written), return_counts=True)
        assert record["cases"][case] == {str(v): n for v, n in zip(values, counts.tolist(), strict=True)}
        assert len(values) > 4


@pytest.mark.parametrize("protocol", ["matching", "matching-normalised", "probe"])
def test_evaluation(phantom: Workspace, dictionary: Path, concepts: Path, protocol: str) -> None:
    flags = ("--predictions", str(concepts), "--labels", str(phantom.raw / "labelsTs"), "--protocol", protocol)
    probe = ("--dictionary", str(dictionary), "--threshold", "0.5")
    done = phantom.run(COMMAND, "evaluate", *flags, *probe, "--disable_progress_bar", check=False)
    if done.returncode:  # a network that was trained for seconds need not have pure concepts of two labels
        assert protocol == "probe"
        assert "a linear probe needs 2" in done.stderr
        return
    result = json.loads((concepts / f"evaluation_{protocol}.json").read_text())
    assert set(result["mean"]) == {"background", "oedema", "core"}
    assert set(result["cases"]) == {"phantom_Ts000", "phantom_Ts001"}
    assert result["mean"]["background"]["Dice"] > 0.5
    assert "which flatters" in done.stdout
    again = phantom.run(COMMAND, "evaluate", *flags, *probe, check=False)
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
