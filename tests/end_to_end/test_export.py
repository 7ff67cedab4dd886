"""A model that travels: exported here, installed and run where there is no trainer of ours."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from tests.end_to_end.conftest import SWIN
from tests.end_to_end.workspace import PROGRAMS, Workspace

PLANS = "nnUNetPlans_ShortSwinFactorizer"
REPOSITORY = Path(__file__).resolve().parents[2]
NAMED = "Network class nnunetv2_factorizer.network.Factorizer not found"
"""nnU-Net's words; pip takes an underscore for a hyphen."""

WITHOUT_OUR_PACKAGE = """
import sys

class Hidden:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "nnunetv2_factorizer":
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Hidden)
from nnunetv2.inference.predict_from_raw_data import predict_entry_point
predict_entry_point()
"""


@pytest.fixture(scope="module")
def exported(phantom: Workspace, trained: Path) -> Path:
    """The zip."""
    output = phantom.folder / "model.zip"
    phantom.run("nnUNetv2_factorizer_export", "-d", phantom.dataset_id, "-tr", SWIN, "-f", "0", "-o", str(output))
    return output


def install(phantom: Workspace, exported: Path, results: str, programs: Path = PROGRAMS) -> Workspace:
    """Where nnU-Net has installed the zip, and nothing else."""
    workspace = phantom.with_results(results)
    workspace.results.parent.mkdir()
    workspace.run("nnUNetv2_install_pretrained_model_from_zip", str(exported), programs=programs)
    return workspace


def predict(workspace: Workspace, output: str, **options: Any) -> Path:
    return workspace.predict(
        "nnUNetTrainer", output, "--save_probabilities", plans=PLANS, nnUNet_extTrainer=None, **options
    )  # fmt: skip


def assert_predicted_the_labels(actual: Path, expected: Path) -> None:
    names = sorted(path.name for path in expected.glob("*.nii.gz"))
    assert names == sorted(path.name for path in actual.glob("*.nii.gz"))
    for name in names:
        labels = [sitk.GetArrayFromImage(sitk.ReadImage(str(folder / name))) for folder in (actual, expected)]
        np.testing.assert_array_equal(*labels)


def test_installed_model_predicts_the_same_without_our_trainers(
    phantom: Workspace, exported: Path, predicted: Path
) -> None:
    workspace = install(phantom, exported, "results_installed")
    assert [path.name for path in workspace.results.iterdir()] == [f"nnUNetTrainer__{PLANS}__3d_fullres"]
    output = predict(workspace, "installed")
    assert_predicted_the_labels(output, predicted)
    for path in predicted.glob("*.npz"):
        actual, expected = (np.load(folder / path.name)["probabilities"] for folder in (output, predicted))
        np.testing.assert_array_equal(actual, expected)


def test_without_our_package_nnunet_names_it(phantom: Workspace, exported: Path) -> None:
    workspace = install(phantom, exported, "results_without")
    command = (
        "-c", WITHOUT_OUR_PACKAGE, "-i", str(phantom.raw / "imagesTs"), "-o", str(phantom.folder / "without"),
        "-d", phantom.dataset_id, "-c", "3d_fullres", "-f", "0", "-p", PLANS, "-device", "cpu",
    )  # fmt: skip
    failed = workspace.run("python", *command, check=False, nnUNet_extTrainer=None)
    assert failed.returncode != 0
    assert NAMED in failed.stderr
    assert "ImportError: Network class could not be found" in failed.stderr


@pytest.mark.slow
def test_clean_environment_needs_our_package_and_nothing_else(
    tmp_path: Path, phantom: Workspace, exported: Path, predicted: Path
) -> None:
    environment, source = tmp_path / "environment", tmp_path / "source"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    programs = environment / "bin"
    try:
        pip_install(programs, "nnunetv2")
        workspace = install(phantom, exported, "results_clean", programs)
        with pytest.raises(AssertionError, match=NAMED):
            predict(workspace, "without_package", programs=programs)
        shutil.copytree(REPOSITORY, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info"))
        pip_install(programs, str(source))
        assert_predicted_the_labels(predict(workspace, "clean", programs=programs), predicted)
    finally:
        shutil.rmtree(environment)


def pip_install(programs: Path, requirement: str) -> None:
    done = subprocess.run(
        [str(programs / "pip"), "install", "--quiet", "--no-cache-dir", requirement], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
