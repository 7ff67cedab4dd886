"""The images that a fold was trained on, as nnU-Net finds them; labels are not opened."""

import json
from pathlib import Path

from nnunetv2 import paths
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_factorizer.concepts.images import Case

REMEDY = "Set nnU-Net's variables as for the training, or give a folder of images with -i."


def training_cases(predictor: nnUNetPredictor, fold: str) -> list[Case]:
    """The training part of a fold, by `splits_final.json`; every image for the fold `all`.

    Raises:
        FileNotFoundError: the raw data, the splits or an image are not there.
        ValueError: the splits do not have the fold.
    """
    dataset = predictor.plans_manager.dataset_name
    raw = _folder("nnUNet_raw", paths.nnUNet_raw, dataset)
    images = get_filenames_of_train_images_and_targets(str(raw), predictor.dataset_json)
    names = sorted(images)
    if fold != "all":
        splits = _folder("nnUNet_preprocessed", paths.nnUNet_preprocessed, dataset) / "splits_final.json"
        if not splits.is_file():
            raise FileNotFoundError(f"{splits} does not exist.\n{REMEDY}")
        folds = json.loads(splits.read_text(encoding="utf-8"))
        if int(fold) >= len(folds):
            raise ValueError(
                f"{splits} has {len(folds)} folds, and no fold {fold}.\nGive a folder of its training images with -i."
            )
        names = folds[int(fold)]["train"]
    if missing := sorted(set(names) - set(images)):
        raise FileNotFoundError(
            f"{len(missing)} images of fold {fold}, such as {missing[0]}, are not in {raw}.\n"
            "Bring them back, or give a folder of images with -i."
        )
    return [Case(name, tuple(images[name]["images"])) for name in names]


def _folder(variable: str, base: str | None, dataset: str) -> Path:
    if base is None:
        raise FileNotFoundError(f"{variable} is not set.\n{REMEDY}")
    folder = Path(base) / dataset
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} does not exist.\n{REMEDY}")
    return folder
