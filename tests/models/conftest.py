"""A model folder as nnU-Net's training leaves it, without the training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder

CONV = "nnUNetTrainerConvFactorizer"
DATASET = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ".nii.gz"}
UNET = "dynamic_network_architectures.architectures.unet.PlainConvUNet"


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> type[nnUNetTrainer]:
    """Our Conv trainer as nnU-Net finds it; tests may put other folders into the variable."""
    monkeypatch.setenv(VARIABLE, str(trainers_folder()))
    return recursive_find_trainer_class_by_name(CONV)


@pytest.fixture
def plans() -> dict[str, Any]:
    """As nnU-Net's planner writes them, with a second configuration that inherits the network but not the patch."""
    fullres = {
        "patch_size": [8, 16, 16],
        "spacing": [1.0, 1.0, 1.0],
        "architecture": {
            "network_class_name": UNET,
            "arch_kwargs": {
                "n_stages": 3,
                "features_per_stage": [8, 16, 32],
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
                "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
                "n_conv_per_stage": [2, 2, 2],
                "n_conv_per_stage_decoder": [2, 2],
            },
            "_kw_requires_import": ["conv_op"],
        },
    }
    lowres = {"inherits_from": "3d_fullres", "patch_size": [4, 8, 8]}
    return {
        "dataset_name": "Dataset994_Export",
        "plans_name": "nnUNetPlans",
        "label_manager": "LabelManager",
        "configurations": {"3d_fullres": fullres, "3d_lowres": lowres},
    }


def make_checkpoint(trainer: type[nnUNetTrainer], plans: dict[str, Any], configuration: str) -> dict[str, Any]:
    """A checkpoint of a network that was just initialised."""
    manager = PlansManager(plans)
    network = trainer.build_network_architecture(manager, manager.get_configuration(configuration), 2, 2, True)
    optimizer = torch.optim.AdamW(network.parameters())
    return {
        "network_weights": network.state_dict(),
        "optimizer_state": optimizer.state_dict(),
        "grad_scaler_state": None,
        "logging": {"train_losses": [np.float32(1)], "mean_fg_dice": [np.float64(0.5)]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 1,
        "init_args": {"plans": plans, "configuration": configuration, "fold": 0, "dataset_json": DATASET,
                      "device": torch.device("cpu")},
        "trainer_name": trainer.__name__,
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }  # fmt: skip


@pytest.fixture
def model(tmp_path: Path, trainer: type[nnUNetTrainer], plans: dict[str, Any]) -> Path:
    """Two folds of `3d_fullres` of the Conv trainer."""
    folder = tmp_path / "results" / plans["dataset_name"] / f"{CONV}__nnUNetPlans__3d_fullres"
    for fold in range(2):
        (folder / f"fold_{fold}" / "validation").mkdir(parents=True)
        (folder / f"fold_{fold}" / "validation" / "summary.json").write_text("{}")
        torch.save(make_checkpoint(trainer, plans, "3d_fullres"), folder / f"fold_{fold}" / "checkpoint_final.pth")
    for name, content in (("plans", plans), ("dataset", DATASET), ("dataset_fingerprint", {})):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder
