"""The images that a fold was trained on, as nnU-Net finds them; labels are not opened."""

from pathlib import Path

from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.images import Case
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json

REMEDY = "Set nnU-Net's variables as for the training, or give a folder of images with -i."


def training_cases(predictor: nnUNetPredictor, fold: str) -> list[Case]:
    """The training part of a fold, by `splits_final.json`; every image for the fold `all`.

    Raises:
        UserError: the raw data, the splits or an image are not there, or the splits do not have the fold.
    """
    dataset = predictor.plans_manager.dataset_name
    raw = _folder("nnUNet_raw", dataset)
    # Of images that stay elsewhere only this file knows where: a model's folder holds no paths.
    listed = raw / "dataset.json"
    dataset_json = read_json(listed) if listed.is_file() else predictor.dataset_json
    images = get_filenames_of_train_images_and_targets(str(raw), dataset_json)
    names = sorted(images)
    if fold != "all":
        splits = _folder("nnUNet_preprocessed", dataset) / "splits_final.json"
        if not splits.is_file():
            raise UserError(f"{splits} does not exist.", REMEDY)
        folds = read_json(splits)
        if int(fold) >= len(folds):
            raise UserError(
                f"{splits} has {len(folds)} folds, and no fold {fold}.", "Give a folder of its training images with -i."
            )
        names = folds[int(fold)]["train"]
    if missing := sorted(set(names) - set(images)):
        raise UserError(
            f"{len(missing)} images of fold {fold}, such as {missing[0]}, are not in {raw}.",
            "Bring them back, or give a folder of images with -i.",
        )
    return [Case(name, tuple(images[name]["images"])) for name in names]


def _folder(variable: str, dataset: str) -> Path:
    try:
        folder = nnunet_folder(variable) / dataset
    except UserError as error:
        raise UserError(error.cause, REMEDY) from error
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist.", REMEDY)
    return folder
