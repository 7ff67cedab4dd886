"""The data: the target, and images for pre-training that are not its own, generated phantoms and noise."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.paths import nnUNet_raw

from benchmarks.learning.data import DATA, prepare
from nnunetv2_factorizer.demo.phantom import write_dataset
from nnunetv2_factorizer.pretraining.places import Unlabelled
from nnunetv2_factorizer.pretraining.unlabelled import register

TARGET, FOLD = DATA["hippocampus at 2 mm"], 0
"""At 2 mm a training takes a tenth of the time; the images have 1 mm."""
ARCHIVE = "Dataset996_PhantomArchive"
ARCHIVE_CASES = 160
"""As many as the target has for training."""


def prepare_archive() -> None:
    """Generates the archive, in the first of the phantom's channels, and registers it for the target.

    What is there already is kept.
    """
    images = Path(nnUNet_raw) / "phantom_archive"
    if not images.is_dir():
        with tempfile.TemporaryDirectory(dir=nnUNet_raw) as folder:
            write_dataset(Path(folder) / "phantom", num_training=ARCHIVE_CASES, num_test=0)
            kept = Path(folder) / "images"
            kept.mkdir()
            for image in (Path(folder) / "phantom" / "imagesTr").glob("*_0000.nii.gz"):
                image.rename(kept / image.name)
            kept.rename(images)
    name, plans_name = prepare(TARGET)
    register([images], ARCHIVE, name, plans_name=plans_name, configurations=[TARGET.configuration], processes=1)


class Noise:
    """A data set whose images are noise: what a pre-training gives that learns nothing of anatomy."""

    def __init__(self, dataset: Unlabelled) -> None:
        self.dataset, self.identifiers = dataset, dataset.identifiers

    def load_case(self, identifier: str) -> tuple[Any, ...]:
        data, *others = self.dataset.load_case(identifier)
        return np.random.standard_normal(data.shape).astype(np.float32), *others
