"""Cases of a data set without their labels: in place of these, nnU-Net's loader crops and moves where voxels lie."""

from typing import Any

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset


class Unlabelled:
    """A data set of nnU-Net in which the segmentation of a case is where each of its voxels lies, `(A, *S)`.

    Labels are neither read nor used to choose a patch.

    Args:
        dataset: of nnU-Net, preprocessed.
        parts: of equal size into which each of the A axes is divided; the numbers are 1 to `parts`. 0: one channel of
            ones.
    """

    def __init__(self, dataset: nnUNetBaseDataset, parts: int) -> None:
        self.dataset, self.parts = dataset, parts
        self.identifiers = dataset.identifiers

    def load_case(self, identifier: str) -> tuple[Any, np.ndarray, None, dict[str, Any]]:
        """Image, places, no earlier stage, and properties by which no patch can be chosen."""
        data, _, _, properties = self.dataset.load_case(identifier)
        return data, places(data.shape[1:], self.parts), None, {**properties, "class_locations": {}}


def places(size: tuple[int, ...], parts: int) -> np.ndarray:
    """For each axis of an image of `size` the part that a voxel lies in, `(A, *size)`; see `Unlabelled`."""
    if parts == 0:
        return np.broadcast_to(np.int8(1), (1, *size))  # one number in memory, whatever the size
    axes = np.meshgrid(*(np.arange(n) * parts // n for n in size), indexing="ij", sparse=True)
    result = np.empty((len(size), *size), np.int8)
    for of_axis, part in zip(result, axes, strict=True):
        of_axis[...] = part + 1
    return result
