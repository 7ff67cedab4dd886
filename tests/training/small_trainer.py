"""A trainer on nothing but plans, for tests that need one step and no data."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_factorizer.families import FACTORIZER

DATASET = "Dataset997_Small"
PATCH = (8, 16, 16)
ENDING = ".mha"
"""Reading NIfTI, ITK puts 0 in place of NaN; here it stays."""

RESAMPLING_ORDER = {"data": 3, "seg": 1, "probabilities": 1}


def plans(**arch_kwargs: Any) -> dict[str, Any]:
    """nnU-Net's plans of one configuration, with a Factorizer of three stages; `arch_kwargs` change its arguments."""
    kwargs = {
        "n_stages": 3,
        "features_per_stage": [8, 16, 16],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        "window_size": 4,
        "head_dim": 4,
        "patch_size": list(PATCH),
    }
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(PATCH),
        "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"] * 2,
        "use_mask_for_norm": [False] * 2,
        "batch_dice": True,
        **{f"resampling_fn_{kind}": "resample_data_or_seg_to_shape" for kind in RESAMPLING_ORDER},
        **{
            f"resampling_fn_{kind}_kwargs": {"is_seg": kind == "seg", "order": order, "order_z": 0}
            for kind, order in RESAMPLING_ORDER.items()
        },
        "architecture": {
            "network_class_name": FACTORIZER.class_name,
            "arch_kwargs": kwargs | arch_kwargs,
            "_kw_requires_import": [],
        },
    }
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetFactorizerPlans",
        "label_manager": "LabelManager",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "foreground_intensity_properties_per_channel": {"0": {}, "1": {}},
        "configurations": {"3d_fullres": configuration},
    }


def dataset_json(channels: int = 2) -> dict[str, Any]:
    return {
        "channel_names": {str(i): f"channel{i}" for i in range(channels)},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": 2,
        "file_ending": ENDING,
    }


def make_folders(folder: Path, monkeypatch: pytest.MonkeyPatch, channels: int, the_plans: dict[str, Any]) -> Path:
    """nnU-Net's folders with plans and, where there are no data, an empty file for a case; gives the data's folder."""
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(folder / kind))
    base = folder / "preprocessed" / DATASET
    data = base / "nnUNetPlans_3d_fullres"
    data.mkdir(parents=True, exist_ok=True)
    if not any(data.iterdir()):
        (data / "case_a.b2nd").touch()
    (base / "dataset.json").write_text(json.dumps(dataset_json(channels)))
    (base / "nnUNetFactorizerPlans.json").write_text(json.dumps(the_plans))
    return data


def make_trainer(
    trainer_class: type[nnUNetTrainer],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    channels: int = 2,
    the_plans: dict[str, Any] | None = None,
) -> Any:
    """A trainer on the CPU, not initialised, with its folders below `folder`."""
    the_plans = the_plans or plans()
    make_folders(folder, monkeypatch, channels, the_plans)
    given = json.loads(json.dumps(the_plans)) | {"continue_training": False}
    trainer = trainer_class(given, "3d_fullres", 0, dataset_json(channels), torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch = 2, 2
    return trainer


def make_batch(channels: int = 2) -> dict[str, Any]:
    """What nnU-Net's data loader gives: two cases, and labels in the two resolutions of the heads."""
    return {
        "data": torch.randn(2, channels, *PATCH),
        "target": [torch.randint(2, (2, 1, 8, *size)).float() for size in ((16, 16), (8, 8))],
        "keys": ["case_a", "case_b"],
    }
