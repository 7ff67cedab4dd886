"""Tiny labelled data sets as nnU-Net preprocesses them: blobs that are brighter or darker than what is around them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from tests.training.small_trainer import DATASET, dataset_json, plans

SIZE = (24, 20, 18)


def blob(rng: np.random.Generator, contrast: float, channels: int, size: tuple[int, ...] = SIZE) -> tuple[Any, Any]:
    """Image `(C, *S)` and labels `(1, *S)`: a ball of label 1 in noise."""
    grid = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1)
    radius = rng.uniform(4, 6)
    centre = rng.uniform(radius, np.subtract(size, radius))
    label = (((grid - centre) / radius) ** 2).sum(-1) < 1
    image = rng.normal(0, 0.5, (channels, *size)) + contrast * label
    return image.astype(np.float32), label[None].astype(np.int8)


class InMemory:
    """What of nnU-Net's data sets is used, for cases in memory."""

    def __init__(self, cases: dict[str, tuple[Any, Any]]) -> None:
        self.cases, self.identifiers = cases, list(cases)

    def load_case(self, identifier: str) -> tuple[Any, Any, None, dict[str, Any]]:
        image, label = self.cases[identifier]
        return image, label, None, properties(label)


def properties(label: Any) -> dict[str, Any]:
    """As nnU-Net's preprocessing makes them."""
    values = [value for value in np.unique(label) if value > 0]
    return {"class_locations": {int(value): np.argwhere(label == value) for value in values}}


def write_dataset(
    preprocessed: Path,
    name: str = DATASET,
    contrast: float = 2.0,
    channels: int = 1,
    cases: int = 3,
    the_plans: dict[str, Any] | None = None,
) -> Path:
    """A data set in nnU-Net's folder of preprocessed ones; gives its folder."""
    base = preprocessed / name
    data = base / "nnUNetPlans_3d_fullres"
    data.mkdir(parents=True)
    rng = np.random.default_rng(int(name[7:10]))
    for case in range(cases):
        image, label = blob(rng, contrast, channels)
        size = image.shape[1:]
        nnUNetDatasetBlosc2.save_case(
            image, label, properties(label), str(data / f"case_{case}"), (1, *size), (1, *size)
        )
    (base / "dataset.json").write_text(json.dumps(dataset_json(channels)))
    (base / "dataset_fingerprint.json").write_text("{}")
    own = {**(the_plans or plans()), "dataset_name": name}
    (base / "nnUNetFactorizerPlans.json").write_text(json.dumps(own))
    return base
