"""An nnU-Net predictor of a small Factorizer with random weights, and images for it."""

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from numpy.typing import NDArray

from nnunetv2_factorizer.network import Factorizer
from tests.training.small_trainer import dataset_json, plans


def small_predictor(folds: int = 1, mirroring: bool = False, patch: tuple[int, ...] = (8, 16, 16), **arch: Any) -> Any:
    """A predictor with two channels and two labels; `arch` are arguments of the `Factorizer`."""
    the_plans = plans(patch_size=list(patch), **arch)
    the_plans["configurations"]["3d_fullres"]["patch_size"] = list(patch)
    manager = PlansManager(the_plans)
    configuration = manager.get_configuration("3d_fullres")
    kwargs = configuration.network_arch_init_kwargs
    weights = [Factorizer(2, 2, **kwargs).state_dict() for _ in range(folds)]
    predictor = nnUNetPredictor(use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False)
    predictor.manual_initialization(
        Factorizer(2, 2, **kwargs), manager, configuration, weights, dataset_json(), "nnUNetTrainer", (0, 1, 2)
    )
    return predictor


def noise(*shape: int, seed: int = 0) -> NDArray:
    return np.random.default_rng(seed).normal(5, 1, shape).astype(np.float32)


def write_channels(
    folder: Path, *channels: NDArray, name: str = "case", ending: str = ".nii.gz", **geometry: Any
) -> list[str]:
    """Writes a file a channel, with `Spacing`, `Origin` and `Direction` of `geometry`, and gives their names."""
    files = []
    for index, channel in enumerate(channels):
        image = sitk.GetImageFromArray(channel)
        for key, value in geometry.items():
            getattr(image, f"Set{key}")(value)
        files.append(str(folder / f"{name}_{index:04d}{ending}"))
        sitk.WriteImage(image, files[-1])
    return files
