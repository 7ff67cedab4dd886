"""One labelled case of a new scanner, by nnU-Net's commands as docs give them, mixed with cases of the old one."""

from pathlib import Path

import pytest
import torch

from nnunetv2_factorizer.demo.phantom import write_dataset
from tests.end_to_end.conftest import SWIN
from tests.end_to_end.workspace import Workspace, checkpoint

MMTL = f"{SWIN}_AdaptMMTL"
PLANS = "nnUNetPlans_of998"


@pytest.fixture(scope="module")
def scanner(phantom: Workspace) -> Workspace:
    """Preprocessed with the plans of the phantom."""
    workspace = Workspace(phantom.folder, "Dataset994_Scanner")
    write_dataset(workspace.raw, num_training=1, num_test=1, seed=1)
    of = ("-s", phantom.dataset_id, "-t", workspace.dataset_id, "-sp", "nnUNetPlans", "-tp", PLANS)
    workspace.run("nnUNetv2_plan_and_preprocess", "-d", workspace.dataset_id, "-npfp", "1", "--no_pp")
    workspace.run("nnUNetv2_move_plans_between_datasets", *of)
    command = ("nnUNetv2_preprocess", "-d", workspace.dataset_id, "-plans_name", PLANS)
    workspace.run(*command, "-c", "3d_fullres", "-np", "1")
    return workspace


def test_a_model_is_adapted_to_one_case_and_goes_on(scanner: Workspace, trained: Path) -> None:
    given = {"nnUNet_pretrained_checkpoint": str(trained / "checkpoint_final.pth")}
    command = ("nnUNetv2_train", scanner.dataset_id, "3d_fullres")
    flags = ("-tr", MMTL, "-p", PLANS, "-device", "cpu")
    killed = scanner.run(*command, "all", *flags, check=False, STOP_AFTER_EPOCHS="1", **given)
    assert killed.returncode == 3, killed.stderr[-2000:]
    assert "1 training cases of this data set and 4 of Dataset998_Phantom" in killed.stdout
    assert "schedule 0.062" in killed.stdout
    fold = scanner.train(MMTL, "--c", plans=PLANS, fold="all", SKIP_VALIDATION="1")
    log = max(fold.glob("training_log_*.txt"), key=lambda path: path.stat().st_mtime).read_text()
    assert "schedule 0.500" in log
    assert "schedule 0.062" not in log
    final, source = (checkpoint(of)["network_weights"] for of in (fold, trained))
    assert any(not torch.equal(weight, source[name]) for name, weight in final.items())
