"""The real nnU-Net commands, from raw data to a postprocessed ensemble, with a Factorizer in them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tests.conftest import real_dataset
from tests.end_to_end.conftest import SWIN
from tests.end_to_end.datasets import link_cases, values
from tests.end_to_end.workspace import Workspace, checkpoint

STOCK = "nnUNetTrainerShort"


def assert_predictions_have_the_geometry_of_the_images(folder: Path, images: Path, labels: set[int]) -> None:
    names = sorted(path.name.replace("_0000", "") for path in images.glob("*_0000.nii.gz"))
    assert sorted(path.name for path in folder.glob("*.nii.gz")) == names
    for name in names:
        prediction = sitk.ReadImage(str(folder / name))
        image = sitk.ReadImage(str(images / name.replace(".nii.gz", "_0000.nii.gz")))
        assert prediction.GetSize() == image.GetSize()
        assert prediction.GetSpacing() == pytest.approx(image.GetSpacing())
        assert prediction.GetOrigin() == pytest.approx(image.GetOrigin())
        assert values(folder / name) <= labels


@pytest.fixture(scope="module")
def stock(phantom: Workspace) -> Path:
    """Fold 0 of nnU-Net's own network, with probabilities of its validation."""
    return phantom.train(STOCK, "--npz")


def test_predictions_ensemble_with_those_of_a_plain_nnunet(phantom: Workspace, predicted: Path, stock: Path) -> None:
    theirs = phantom.predict(STOCK, "theirs", "--save_probabilities")
    both = phantom.folder / "both"
    phantom.run("nnUNetv2_ensemble", "-i", str(predicted), str(theirs), "-o", str(both), "-np", "1", "--save_npz")
    for folder in (predicted, both):
        assert_predictions_have_the_geometry_of_the_images(folder, phantom.raw / "imagesTs", {0, 1, 2})
    for path in both.glob("*.npz"):
        mean = (np.load(predicted / path.name)["probabilities"] + np.load(theirs / path.name)["probabilities"]) / 2
        np.testing.assert_allclose(np.load(path)["probabilities"], mean, atol=1e-5)
    assert set(phantom.evaluate(both)) == {"1", "2"}


def find_best_configuration(workspace: Workspace, *folds: str) -> Path:
    """Runs it for our trainer and nnU-Net's, and gives the postprocessing that it found."""
    trainers = ("-tr", SWIN, STOCK)
    workspace.run(
        "nnUNetv2_find_best_configuration", workspace.dataset_id, "-c", "3d_fullres", *trainers, "-f", *folds,
        "-np", "1",
    )  # fmt: skip
    found = json.loads((workspace.results / "inference_information.json").read_text())
    of_both = [name for name in found["all_results"] if SWIN in name and f"{STOCK}__" in name]
    assert len(found["all_results"]) == 3
    assert of_both[0].startswith("ensemble___")
    return Path(found["best_model_or_ensemble"]["postprocessing_file"])


def test_best_configuration_and_postprocessing(phantom: Workspace, trained: Path, stock: Path) -> None:
    postprocessing = find_best_configuration(phantom, "0")
    validation, target = trained / "validation", phantom.folder / "postprocessed"
    model = trained.parent
    phantom.run(
        "nnUNetv2_apply_postprocessing", "-i", str(validation), "-o", str(target), "-np", "1",
        "-pp_pkl_file", str(postprocessing), "-plans_json", str(model / "plans.json"),
        "-dataset_json", str(model / "dataset.json"),
    )  # fmt: skip
    assert {path.name for path in target.glob("*.nii.gz")} == {path.name for path in validation.glob("*.nii.gz")}
    for path in target.glob("*.nii.gz"):
        assert values(path) <= values(validation / path.name)


@pytest.mark.slow
def test_all_five_folds(phantom: Workspace) -> None:
    workspace = phantom.with_results("results_five_folds")
    folds = ("0", "1", "2", "3", "4")
    for trainer in (SWIN, STOCK):
        for fold in folds:
            workspace.train(trainer, "--npz", fold=fold)
    find_best_configuration(workspace, *folds)
    instructions = (workspace.results / "inference_instructions.txt").read_text()
    assert "nnUNetv2_apply_postprocessing" in instructions
    output = workspace.predict(SWIN, "five_folds", folds=folds)
    assert_predictions_have_the_geometry_of_the_images(output, workspace.raw / "imagesTs", {0, 1, 2})
    shutil.rmtree(workspace.results)


@pytest.mark.slow
def test_hippocampus(tmp_path: Path) -> None:
    data = real_dataset("Dataset004_Hippocampus")
    workspace = Workspace(tmp_path, data.name)
    link_cases(data, workspace.raw, 7)
    workspace.run(
        "nnUNetv2_factorizer_plan_and_preprocess", "-d", "4", "-c", "3d_fullres", "-np", "2", "-npfp", "2",
        "--verify_dataset_integrity", "-gpu_memory_target", "4",
    )  # fmt: skip
    trainer = "nnUNetTrainerShortConvFactorizer"
    fold = workspace.train(trainer, plans="nnUNetHybridFactorizerMPlans")
    assert any(".local_path." in key for key in checkpoint(fold)["network_weights"])
    output = workspace.predict(trainer, "predictions", plans="nnUNetHybridFactorizerMPlans")
    assert_predictions_have_the_geometry_of_the_images(output, workspace.raw / "imagesTs", {0, 1, 2})
