"""Batches of two data sets: those of nnU-Net's loader, and behind them as many patches of another data set."""

from copy import copy
from functools import partial
from typing import Any

import torch
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader

from nnunetv2_factorizer.adaptation.augmenter import change_loader


class Paired:
    """A loader for nnU-Net's augmenters. Both data sets are drawn from, cropped and augmented in the same way.

    `data` `(2 B, C, *S)` and `keys` are of both, `target` is of the first alone. `positions` `(2 B, 3)` says where in
    its image the centre of a patch lies, from 0 to 1 along each axis.

    Args:
        loader: nnU-Net's, of the first data set.
        name: of the other data set; its cases are called NAME/CASE.
        dataset: the other one, without labels.
    """

    def __init__(self, loader: nnUNetDataLoader, name: str, dataset: Any) -> None:
        self.name, self.first, self.second = name, copy(loader), copy(loader)
        self.second._data, self.second.indices = dataset, dataset.identifiers
        self.second.has_ignore = False  # of which nnU-Net would look for labelled voxels
        self.positions: list[torch.Tensor] = []
        for each in (self.first, self.second):
            each.get_bbox = partial(_box, each, self.positions)

    def set_thread_id(self, thread_id: int) -> None:
        """As batchgenerators' loaders."""
        for each in (self.first, self.second):
            each.set_thread_id(thread_id)

    def __next__(self) -> dict[str, Any]:
        self.positions.clear()
        first, second = next(self.first), next(self.second)
        return {
            "data": torch.cat([first["data"], second["data"]]),
            "target": first["target"],
            "keys": [*first["keys"], *(f"{self.name}/{case}" for case in second["keys"])],
            "positions": torch.stack(self.positions),
        }


def pair(augmenter: Any, name: str, dataset: Any) -> None:
    """Makes one of nnU-Net's augmenters, whose workers it has started already, give such batches."""
    change_loader(augmenter, lambda loader: Paired(loader, name, dataset))


def _box(loader: nnUNetDataLoader, positions: list[torch.Tensor], size: Any, *args: Any) -> tuple[Any, Any]:
    """nnU-Net's choice of a patch, noted."""
    low, high = type(loader).get_bbox(loader, size, *args)
    centre = torch.tensor([(a + b) / 2 / n for a, b, n in zip(low, high, size, strict=True)])
    positions.append(centre.float().clamp(0, 1))
    return low, high
