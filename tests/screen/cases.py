"""A data set of smooth images, as nnU-Net keeps it after preprocessing, and a model's folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tests.training.small_trainer import DATASET

CASES = [f"case_{number:02d}" for number in range(15)]
SPLITS = [{"train": CASES[:12], "val": CASES[12:]}]
CHECKPOINT = "checkpoint_final.pth"


def normalised(image: NDArray) -> NDArray[np.float32]:
    """Each channel with mean 0 and standard deviation 1, as nnU-Net's for MRI."""
    axes = tuple(range(1, image.ndim))
    centred = image - image.mean(axes, keepdims=True)
    return (centred / np.maximum(centred.std(axes, keepdims=True), 1e-8)).astype(np.float32)


def make_image(seed: int, size: tuple[int, ...] = (24, 24, 24), channels: int = 2) -> NDArray[np.float32]:
    """Smooth, with a little noise."""
    rng = np.random.default_rng(seed)
    smooth = normalised(gaussian_filter(rng.normal(size=(channels, *size)), (0, *[1.5] * len(size))))
    return normalised(smooth + rng.normal(0, 0.05, smooth.shape))


def noisy(image: NDArray) -> NDArray[np.float32]:
    return normalised(image + np.random.default_rng(0).normal(0, 1, image.shape))


def as_tensor(image: NDArray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image, np.float32))


def write_preprocessed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The preprocessed data set in nnU-Net's folders below `folder`; gives the folder of the data set."""
    for kind in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{kind}", str(folder / kind))
    base = folder / "preprocessed" / DATASET
    (base / "nnUNetPlans_3d_fullres").mkdir(parents=True)
    for seed, name in enumerate(CASES):
        image = make_image(seed)
        segmentation = np.zeros((1, *image.shape[1:]), np.int16)
        target = str(base / "nnUNetPlans_3d_fullres" / name)
        nnUNetDatasetBlosc2.save_case(image, segmentation, {"spacing": [1.0, 1.0, 1.0]}, target)
    (base / "splits_final.json").write_text(json.dumps(SPLITS))
    return base


def write_model(folder: Path, fold: str = "0") -> Path:
    """A model's folder with a file in place of the checkpoint, where there is none."""
    model = folder / "results" / DATASET / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    checkpoint = model / f"fold_{fold}" / CHECKPOINT
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if not checkpoint.exists():
        checkpoint.write_bytes(b"weights")
    return model
