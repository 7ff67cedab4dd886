"""`nnUNetv2_factorizer_explain` on a trained model, beside `nnUNetv2_predict`."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tests.end_to_end.conftest import SWIN
from tests.end_to_end.workspace import PLANS, Workspace


def explain(workspace: Workspace, output: Path, *flags: str, check: bool = True) -> str:
    """Explains `imagesTs` and gives what the command said."""
    done = workspace.run(
        "nnUNetv2_factorizer_explain", "-i", str(workspace.raw / "imagesTs"), "-o", str(output), "-d",
        workspace.dataset_id, "-c", "3d_fullres", "-p", PLANS, "-tr", SWIN, "-f", "0", "-device", "cpu",
        "--disable_tta", "--disable_progress_bar", *flags, check=check,
    )  # fmt: skip
    return done.stdout if check else done.stderr


@pytest.fixture(scope="module")
def explained(phantom: Workspace, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("explained") / "cases"
    flags = ("--layers", "first,decoder.stages.0.0", "--labels", str(phantom.raw / "labelsTs"))
    said = explain(phantom, output, *flags, "--save_probabilities")
    assert all(str(report) in said for report in output.glob("*/report.html"))
    return output


def test_prediction_is_that_of_nnunet(explained: Path, predicted: Path) -> None:
    files = sorted(path.name for path in predicted.glob("*.nii.gz"))
    assert len(files) == 2
    for name in files:
        assert (explained / name).read_bytes() == (predicted / name).read_bytes()
        probabilities = [np.load(f / name.replace(".nii.gz", ".npz"))["probabilities"] for f in (explained, predicted)]
        np.testing.assert_array_equal(*probabilities)
    assert (explained / "plans.json").exists()
    assert (explained / "dataset.json").exists()


def test_maps_lie_on_the_image(explained: Path, phantom: Workspace) -> None:
    folders = sorted(explained.glob("*/fold_0/*"))
    assert [folder.name for folder in folders] == ["decoder.stages.0.0", "encoder.stages.0.0"] * 2
    for folder in folders:
        assert (folder / "residual.nii.gz").exists()
        image = sitk.ReadImage(str(phantom.raw / "imagesTs" / f"{folder.parent.parent.name}_0000.nii.gz"))
        for path in folder.iterdir():
            written = sitk.ReadImage(str(path))
            assert written.GetSize() == image.GetSize()
            assert written.GetSpacing() == pytest.approx(image.GetSpacing())
            assert written.GetOrigin() == pytest.approx(image.GetOrigin())
            assert written.GetDirection() == pytest.approx(image.GetDirection())
            assert sitk.GetArrayViewFromImage(written).max() > 0


def test_numbers_are_those_of_the_files(explained: Path, phantom: Workspace) -> None:
    for path in explained.glob("*/report.json"):
        report = json.loads(path.read_text())
        assert report["reference"] == "labels"
        for layer in report["layers"]:
            assert 0 < layer["explained_share"] < 1
            for component in layer["components"]:
                file = path.parent / "fold_0" / layer["layer"] / f"{component['name'].replace(' ', '_')}.nii.gz"
                assert component["maximum"] == pytest.approx(
                    sitk.GetArrayViewFromImage(sitk.ReadImage(str(file))).max()
                )


def test_nothing_is_overwritten(explained: Path, phantom: Workspace) -> None:
    before = {path: path.read_bytes() for path in explained.rglob("*") if path.is_file()}
    said = explain(phantom, explained, check=False)
    assert "exists and was not changed.\nGive another folder with -o" in said
    explain(phantom, explained, "--continue_prediction")
    assert {path: path.read_bytes() for path in explained.rglob("*") if path.is_file()} == before


def test_files_of_others_in_the_output_folder_stay(phantom: Workspace, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"mine": 1}')
    assert "dataset.json exists, is another than the model's and was not changed" in explain(
        phantom, tmp_path, check=False
    )
    assert (tmp_path / "dataset.json").read_text() == '{"mine": 1}'
    (tmp_path / "dataset.json").unlink()
    name = next((phantom.raw / "labelsTs").glob("*.nii.gz")).name
    (tmp_path / name).write_text("mine")
    said = explain(phantom, tmp_path, "--continue_prediction", check=False)
    assert f"{name} exists and was not changed; its explanation is not there" in said
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("flags", "cause"),
    [
        (("--layers", "encoder.stages.99.0"), "encoder.stages.99.0 is no layer of this model"),
        (("-f", "3"), "fold_3/checkpoint_final.pth does not exist; the folds with checkpoint_final.pth are: 0"),
        (("-o", "/dev/null/out"), "/dev/null/out cannot be written"),
        (("--labels", "/nowhere"), "/nowhere/"),
        (("-i", "/usr"), "holds no images with the names that nnU-Net asks for"),
    ],
)
def test_errors_name_cause_and_remedy(
    phantom: Workspace, trained: Path, tmp_path: Path, flags: tuple[str, ...], cause: str
) -> None:
    said = explain(phantom, tmp_path / "out", *flags, check=False).rstrip().splitlines()
    assert cause in said[-2]
    assert not list(tmp_path.rglob("report.html"))


def test_unknown_dataset_is_said_in_nnunets_words(phantom: Workspace, trained: Path, tmp_path: Path) -> None:
    said = explain(phantom, tmp_path / "out", "-d", "777", check=False)
    assert "Could not find a dataset with the ID 777" in said
    assert "Traceback" not in said
