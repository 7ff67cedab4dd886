"""Small cases as files, and nnU-Net's folders made of them, for faults that start with data."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from numpy.typing import NDArray

from tests.training.small_trainer import ENDING, dataset_json, make_folders, plans

SHAPE = (12, 20, 20)


def image(*shape: int, seed: int = 0) -> NDArray:
    return np.random.default_rng(seed).normal(5, 1, shape or SHAPE).astype(np.float32)


def write_case(folder: Path, case: str, channels: list[NDArray]) -> list[str]:
    """Writes an image file a channel and gives their names."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [str(folder / f"{case}_{i:04d}{ENDING}") for i in range(len(channels))]
    for channel, file in zip(channels, files, strict=True):
        sitk.WriteImage(sitk.GetImageFromArray(channel), file)
    return files


def preprocess(folder: Path, monkeypatch: pytest.MonkeyPatch, cases: dict[str, tuple[list[NDArray], NDArray]]) -> None:
    """nnU-Net's preprocessed data of two cases, each its channels and its labels; the first is trained on."""
    data = make_folders(folder, monkeypatch, 2, plans())
    (data / "case_a.b2nd").unlink()
    (data.parent / "dataset_fingerprint.json").write_text("{}")
    manager = PlansManager(plans())
    for case, (channels, labels) in cases.items():
        files = write_case(folder / "images", case, channels)
        label_file = str(folder / f"{case}{ENDING}")
        sitk.WriteImage(sitk.GetImageFromArray(labels.astype(np.uint8)), label_file)
        DefaultPreprocessor(verbose=False).run_case_save(
            str(data / case), files, label_file, manager, manager.get_configuration("3d_fullres"), dataset_json()
        )
    first, second = cases
    (data.parent / "splits_final.json").write_text(json.dumps([{"train": [first], "val": [second]}]))
