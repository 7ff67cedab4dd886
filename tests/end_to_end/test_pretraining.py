"""From images without labels to a fine-tuned model, by nnU-Net's commands."""

import json
from pathlib import Path

import pytest
import torch

from tests.end_to_end.test_resume import MUON, comparable
from tests.end_to_end.workspace import Workspace, checkpoint

MAE = "nnUNetTrainerShort_PretrainMAE"
POPAR = "nnUNetTrainerShort_PretrainPOPAR"


@pytest.fixture(scope="module")
def archive(phantom: Workspace) -> Workspace:
    """The images of the phantom without their labels, registered and preprocessed like the phantom itself."""
    command = ("nnUNetv2_factorizer_unlabelled", "-i", str(phantom.raw / "imagesTr"), "-d", "995", "-c", "2d")
    done = phantom.run(*command, "-dataset_name", "Archive", "-like", phantom.dataset_id, "-np", "1")
    assert "labels" in done.stdout.lower()  # those beside the images are ignored, which is said
    return Workspace(phantom.folder, "Dataset995_Archive")


@pytest.fixture(scope="module")
def pretrained(archive: Workspace) -> Path:
    return archive.train(MAE, configuration="2d", fold="all")


def test_pretraining_goes_on_exactly(archive: Workspace, pretrained: Path) -> None:
    workspace = archive.with_results("results_pretrained_resumed")
    command = ("nnUNetv2_train", workspace.dataset_id, "2d", "all", "-tr", MAE, "-device", "cpu")
    killed = workspace.run(*command, check=False, STOP_AFTER_EPOCHS="1")
    assert killed.returncode == 3, killed.stderr[-2000:]
    resumed = workspace.train(MAE, "--c", configuration="2d", fold="all")
    torch.testing.assert_close(comparable(checkpoint(resumed)), comparable(checkpoint(pretrained)), rtol=0, atol=0)
    through, again = (checkpoint(fold, "checkpoint_pretrained.pth") for fold in (pretrained, resumed))
    torch.testing.assert_close(again["network_weights"], through["network_weights"], rtol=0, atol=0)


def test_another_task_starts_from_it(phantom: Workspace, pretrained: Path) -> None:
    weights = pretrained / "checkpoint_pretrained.pth"
    workspace = phantom.with_results("results_chain")
    fold = workspace.train(POPAR, configuration="2d", fold="all", nnUNet_pretrained_checkpoint=str(weights))
    before = torch.load(weights, weights_only=True)["network_weights"]
    start = checkpoint(fold, "checkpoint_start.pth")["network_weights"]
    bodies = {name: start[f"body.{name}"] for name in before if ".seg_layers." not in name}
    assert all(torch.equal(tensor, before[name]) for name, tensor in bodies.items())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in weights_of(fold).items())
    log = "".join(path.read_text() for path in fold.glob("training_log_*.txt"))
    assert "tensors (parameters)" in log
    assert "order accuracy" in log


def weights_of(fold: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = checkpoint(fold, "checkpoint_pretrained.pth")["network_weights"]
    return {name: tensor for name, tensor in weights.items() if ".seg_layers." not in name}


def test_concepts_of_an_encoder_that_has_seen_no_labels(archive: Workspace, pretrained: Path, tmp_path: Path) -> None:
    """Its pre-training's folder is a model: the checkpoint without the heads of the task is found."""
    command, quiet = "nnUNetv2_factorizer_concepts", ("-device", "cpu", "--disable_progress_bar")
    fitted = archive.run(
        command, "fit", "-d", archive.dataset_id, "-c", "2d", "-tr", MAE, "-f", "all", "-k", "4", "-o",
        str(tmp_path / "dictionary"), *quiet,
    )  # fmt: skip
    assert "This model is a pre-training: checkpoint_pretrained.pth is taken" in fitted.stdout
    assert "encoder.stages.2 is the deepest stage whose positions have at most 4 voxels" in fitted.stdout
    record = json.loads((tmp_path / "dictionary" / "dictionary.json").read_text())
    assert record["identity"]["checkpoint"] == "checkpoint_pretrained.pth"
    assert record["stage"] == "encoder.stages.2"
    images = tmp_path / "images"
    images.mkdir()
    for file in (archive.folder / "raw" / "Dataset998_Phantom" / "imagesTs").glob("*_Ts000_*"):
        (images / file.name).symlink_to(file)
    predict = ("predict", "-i", str(images), "--dictionary", str(tmp_path / "dictionary"), "--disable_tta", *quiet)
    archive.run(command, *predict, "-o", str(tmp_path / "concepts"))
    categories = json.loads((tmp_path / "concepts" / "concepts.json").read_text())["cases"]["phantom_Ts000"]
    assert len(categories) > 2


def test_concepts_of_a_pretraining_that_is_not_finished(archive: Workspace, pretrained: Path, tmp_path: Path) -> None:
    failed = archive.run(
        "nnUNetv2_factorizer_concepts", "fit", "-d", archive.dataset_id, "-c", "2d", "-tr", MAE, "-f", "all", "-chk",
        "checkpoint_best.pth", "-o", str(tmp_path / "dictionary"), "-device", "cpu", check=False,
    )  # fmt: skip
    assert "is a TaskNetwork without encoder.stages.\nName a model" in failed.stderr
    assert "-chk checkpoint_pretrained.pth, which it leaves when it is finished" in failed.stderr
    assert not (tmp_path / "dictionary").exists()


def test_stock_fine_tuning_starts_from_it(phantom: Workspace, pretrained: Path) -> None:
    weights = pretrained / "checkpoint_pretrained.pth"
    workspace = phantom.with_results("results_fine_tuned")
    fold = workspace.train(MUON, "-pretrained_weights", str(weights), configuration="2d", SKIP_VALIDATION="1")
    before = torch.load(weights, weights_only=True)["network_weights"]
    start = checkpoint(fold, "checkpoint_start.pth")["network_weights"]
    assert start.keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in start.items() if ".seg_layers." not in name)
