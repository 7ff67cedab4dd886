"""The real nnU-Net commands, from raw data to an ensemble, with a Factorizer in them."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from nnunetv2_factorizer.demo.phantom import write_dataset
from nnunetv2_factorizer.training.schedule import learning_rate
from tests.conftest import real_dataset
from tests.end_to_end.workspace import Workspace, checkpoint

SWIN = "nnUNetTrainerShortSwinFactorizer"
STOCK = "nnUNetTrainerShort"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The phantom data set, planned and preprocessed by nnU-Net itself."""
    workspace = Workspace(tmp_path_factory.mktemp("nnunet"), "Dataset998_Phantom")
    write_dataset(workspace.raw, num_training=6, num_test=2)
    workspace.run("nnUNetv2_plan_and_preprocess", "-d", "998", "-c", "2d", "3d_fullres", "-np", "2", "-npfp", "2")
    return workspace


@pytest.fixture(scope="module")
def trained(phantom: Workspace) -> Path:
    """Fold 0 of a Swin Factorizer on nnU-Net's own plans, killed after one epoch and resumed."""
    command = ("nnUNetv2_train", "998", "3d_fullres", "0", "-tr", SWIN, "-device", "cpu")
    killed = phantom.run(*command, check=False, STOP_AFTER_EPOCHS="1")
    assert killed.returncode == 3, killed.stderr[-2000:]
    return phantom.train(SWIN, "--c", "--npz")


def assert_predictions_have_the_geometry_of_the_images(folder: Path, images: Path, values: set[int]) -> None:
    names = sorted(path.name.replace("_0000", "") for path in images.glob("*_0000.nii.gz"))
    assert sorted(path.name for path in folder.glob("*.nii.gz")) == names
    for name in names:
        prediction = sitk.ReadImage(str(folder / name))
        image = sitk.ReadImage(str(images / name.replace(".nii.gz", "_0000.nii.gz")))
        assert prediction.GetSize() == image.GetSize()
        assert prediction.GetSpacing() == pytest.approx(image.GetSpacing())
        assert prediction.GetOrigin() == pytest.approx(image.GetOrigin())
        assert set(np.unique(sitk.GetArrayViewFromImage(prediction))) <= values


def test_resumed_training_has_every_step_at_its_learning_rate(trained: Path) -> None:
    final = checkpoint(trained)
    assert final["current_epoch"] == 2
    assert {int(state["step"]) for state in final["optimizer_state"]["state"].values()} == {4}
    assert final["logging"]["lrs"] == [learning_rate(step, 4) for step in (0, 2)]
    assert not (trained / "checkpoint_latest.pth").exists()


def test_validation_again_gives_the_same(phantom: Workspace, trained: Path) -> None:
    path = trained / "validation" / "summary.json"
    before = json.loads(path.read_text())
    path.unlink()
    phantom.train(SWIN, "--val")
    assert json.loads(path.read_text())["mean"] == before["mean"]


def test_predict_ensemble_evaluate(phantom: Workspace, trained: Path) -> None:
    phantom.train(STOCK, "--npz")
    ours = phantom.predict(SWIN, "ours", "--save_probabilities")
    theirs = phantom.predict(STOCK, "theirs", "--save_probabilities")
    both = phantom.folder / "both"
    phantom.run("nnUNetv2_ensemble", "-i", str(ours), str(theirs), "-o", str(both), "-np", "1")
    for folder in (ours, both):
        assert_predictions_have_the_geometry_of_the_images(folder, phantom.raw / "imagesTs", {0, 1, 2})
    phantom.run(
        "nnUNetv2_evaluate_folder", str(phantom.raw / "labelsTs"), str(both), "-np", "1",
        "-djfile", str(phantom.raw / "dataset.json"), "-pfile", str(phantom.preprocessed / "nnUNetPlans.json"),
    )  # fmt: skip
    assert set(json.loads((both / "summary.json").read_text())["mean"]) == {"1", "2"}
    phantom.run(
        "nnUNetv2_find_best_configuration", "998", "-c", "3d_fullres", "-tr", SWIN, STOCK, "-f", "0", "-np", "2"
    )  # fmt: skip
    assert SWIN in (phantom.results / "inference_information.json").read_text()


def test_2d(phantom: Workspace) -> None:
    fold = phantom.train("nnUNetTrainerShortGlobalFactorizer", configuration="2d")
    assert (fold / "validation" / "summary.json").exists()


def test_own_plans_share_data_and_predict_without_a_trainer_of_ours(phantom: Workspace) -> None:
    preprocessed = phantom.preprocessed / "nnUNetPlans_3d_fullres"
    before = {path: path.stat().st_mtime_ns for path in preprocessed.iterdir()}
    command = ("nnUNetv2_factorizer_plan_and_preprocess", "-d", "998", "-c", "3d_fullres", "-np", "2")
    phantom.run(*command)
    plan = phantom.plans("nnUNetFactorizerPlans")["configurations"]["3d_fullres"]
    assert plan["data_identifier"] == "nnUNetPlans_3d_fullres"
    assert plan["architecture"]["network_class_name"] == "nnunetv2_factorizer.network.Factorizer"
    assert plan["architecture"]["arch_kwargs"]["patch_size"] == plan["patch_size"]
    assert {path: path.stat().st_mtime_ns for path in preprocessed.iterdir()} == before

    fold = phantom.train(STOCK, plans="nnUNetFactorizerPlans")
    state = checkpoint(fold)
    assert any("mixer.nmf" in key for key in state["network_weights"])
    # What a machine without our trainers gets: the name of nnU-Net's own, and no variable.
    target = fold.parent.with_name(fold.parent.name.replace(STOCK, "nnUNetTrainer")) / "fold_0"
    fold.parent.rename(target.parent)
    torch.save(state | {"trainer_name": "nnUNetTrainer"}, target / "checkpoint_final.pth")
    output = phantom.predict("nnUNetTrainer", "plain", plans="nnUNetFactorizerPlans", nnUNet_extTrainer="")
    assert_predictions_have_the_geometry_of_the_images(output, phantom.raw / "imagesTs", {0, 1, 2})


def test_plans_that_say_something_else_are_not_overwritten(phantom: Workspace) -> None:
    command = ("nnUNetv2_factorizer_plan_and_preprocess", "-d", "998", "--no_pp", "-matricize", "global")
    phantom.run(*command)
    before = phantom.plans("nnUNetGlobalFactorizerPlans")
    phantom.run(*command)
    assert phantom.plans("nnUNetGlobalFactorizerPlans") == before
    other = phantom.run(*command, "-overwrite_plans_name", "nnUNetPlans", check=False)
    assert other.returncode == 1
    assert "nnUNetPlans.json exists and says something else about" in other.stderr
    assert "-overwrite_plans_name NAME" in other.stderr
    assert "PlainConvUNet" in phantom.plans("nnUNetPlans")["configurations"]["2d"]["architecture"]["network_class_name"]


def test_another_spacing_gets_data_of_its_own(phantom: Workspace) -> None:
    phantom.run(
        "nnUNetv2_factorizer_plan_and_preprocess", "-d", "998", "-c", "3d_fullres", "-np", "2",
        "-overwrite_target_spacing", "6", "6", "6", "-overwrite_plans_name", "Coarse",
        "-pl", "nnUNetPlannerConvFactorizer",
    )  # fmt: skip
    plan = phantom.plans("Coarse")["configurations"]["3d_fullres"]
    assert plan["spacing"] == [6, 6, 6]
    assert plan["architecture"]["arch_kwargs"]["local_path"] == "depthwise"
    assert plan["data_identifier"] == "Coarse_3d_fullres"
    assert (phantom.preprocessed / "Coarse_3d_fullres").is_dir()


def test_hippocampus(tmp_path: Path) -> None:
    data = real_dataset("Dataset004_Hippocampus")
    workspace = Workspace(tmp_path, data.name)
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (data / "labelsTr").glob("*.nii.gz"))[:7]
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (workspace.raw / folder).mkdir(parents=True)
    for case in cases:
        split = "imagesTs" if case == cases[-1] else "imagesTr"
        (workspace.raw / split / f"{case}_0000.nii.gz").symlink_to(data / "imagesTr" / f"{case}_0000.nii.gz")
        if split == "imagesTr":
            (workspace.raw / "labelsTr" / f"{case}.nii.gz").symlink_to(data / "labelsTr" / f"{case}.nii.gz")
    description = json.loads((data / "dataset.json").read_text()) | {"numTraining": len(cases) - 1}
    (workspace.raw / "dataset.json").write_text(json.dumps(description))

    workspace.run(
        "nnUNetv2_factorizer_plan_and_preprocess", "-d", "4", "-c", "3d_fullres", "-np", "2", "-npfp", "2",
        "--verify_dataset_integrity", "-gpu_memory_target", "4",
    )  # fmt: skip
    trainer = "nnUNetTrainerShortConvFactorizer"
    fold = workspace.train(trainer, plans="nnUNetFactorizerPlans")
    assert any(".local_path." in key for key in checkpoint(fold)["network_weights"])
    output = workspace.predict(trainer, "predictions", plans="nnUNetFactorizerPlans")
    assert_predictions_have_the_geometry_of_the_images(output, workspace.raw / "imagesTs", {0, 1, 2})
