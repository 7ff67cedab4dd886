"""A data set of nnU-Net's that hands out corrected labels, and the files by which they reach the loader's workers.

Labels, and images where something is blurred, are files in nnU-Net's preprocessed geometry. They are replaced whole
while workers read: a worker that has one open goes on with it. What waits in the workers' queues is of the labels
before.
"""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset
from numpy.typing import NDArray

from nnunetv2_factorizer.models.atomic import replacing

MMAP: Literal["r"] | None = None if os.name == "nt" else "r"
"""On Windows, a file that is mapped into memory cannot be replaced."""


class Corrected:
    """The data set, with corrected labels for the cases that have a file.

    Args:
        dataset: of nnU-Net, preprocessed.
        folder: of the files; it need not be there.
    """

    def __init__(self, dataset: nnUNetBaseDataset, folder: Path) -> None:
        self.dataset, self.folder = dataset, folder
        self.identifiers = dataset.identifiers

    def load_case(self, identifier: str) -> tuple[Any, Any, Any, dict[str, Any]]:
        """As nnU-Net's data sets do."""
        image, labels, previous, properties = self.dataset.load_case(identifier)
        if (corrected := labels_file(self.folder, identifier)).is_file():
            labels = np.load(corrected, mmap_mode=MMAP)
            with np.load(_locations_file(self.folder, identifier)) as locations:
                properties = {**properties, "class_locations": {int(name): locations[name] for name in locations}}
        if (blurred := _image_file(self.folder, identifier)).is_file():
            image = np.load(blurred, mmap_mode=MMAP)
        return image, labels, previous, properties


def write_case(
    folder: Path, case: str, labels: NDArray, locations: dict[int, NDArray], image: NDArray | None = None
) -> None:
    """Writes what the loader takes in place of the preprocessed case.

    Args:
        folder: made where it is not there.
        case: its name.
        labels: `(1, *S)`.
        locations: voxels of each class, as nnU-Net's preprocessing keeps them for the choice of patches.
        image: `(C, *S)`, if it is another one, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {str(label): np.asarray(voxels, np.int64).reshape(-1, labels.ndim) for label, voxels in locations.items()}
    # Labels last: with them the case counts as corrected.
    if image is not None:
        with replacing(str(_image_file(folder, case))) as unfinished, Path(unfinished).open("wb") as file:
            np.save(file, image)
    with replacing(str(_locations_file(folder, case))) as unfinished, Path(unfinished).open("wb") as file:
        np.savez(file, **named)  # type: ignore[arg-type]
    with replacing(str(labels_file(folder, case))) as unfinished, Path(unfinished).open("wb") as file:
        np.save(file, labels)


def remove_images(folder: Path) -> None:
    """Blurred images are as large as the preprocessed data, and useless after the training."""
    for path in folder.glob(f"*{_IMAGE}"):
        path.unlink()


_IMAGE = ".image.npy"


def labels_file(folder: Path, case: str) -> Path:
    """`(1, *S)`; it is there if the case was corrected."""
    return folder / f"{case}.labels.npy"


def _locations_file(folder: Path, case: str) -> Path:
    return folder / f"{case}.locations.npz"


def _image_file(folder: Path, case: str) -> Path:
    return folder / f"{case}{_IMAGE}"
