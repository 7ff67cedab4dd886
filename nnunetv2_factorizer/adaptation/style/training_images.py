"""The preprocessed images that a fold was trained on; labels are not opened."""

from pathlib import Path

import torch
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class, nnUNetBaseDataset
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json


def training_images(
    dataset_name: str, configuration: ConfigurationManager, fold: str, purpose: str
) -> nnUNetBaseDataset:
    """The training part of a fold, by `splits_final.json`; every case for the fold `all`. Its identifiers are sorted.

    Args:
        dataset_name: such as `Dataset004_Hippocampus`.
        configuration: of the plans.
        fold: such as `0` or `all`.
        purpose: what needs them, for messages.

    Raises:
        UserError: the preprocessed data, the splits or a case are not there, or the splits do not have the fold.
    """
    remedy = "Set nnUNet_preprocessed as for the training, or preprocess the data set again with the model's plans."
    try:
        base = nnunet_folder("nnUNet_preprocessed") / dataset_name
    except UserError as error:
        raise UserError(f"{error.cause[:-1]}, but {purpose} needs the training images.", error.remedy) from error
    folder, splits = base / configuration.data_identifier, base / "splits_final.json"
    for path in [folder, splits] if fold != "all" else [folder]:
        if not path.exists():
            raise UserError(f"{path} does not exist, but {purpose} needs the training images.", remedy)
    dataset_class = infer_dataset_class(str(folder))
    there = set(dataset_class.get_identifiers(str(folder)))
    names = list(there) if fold == "all" else _training_part(splits, fold)
    if missing := sorted(set(names) - there):
        raise UserError(
            f"{len(missing)} of {len(names)} training images of fold {fold}, such as {missing[0]}, are not in "
            f"{folder}.",
            remedy,
        )
    return dataset_class(str(folder), names)


def _training_part(splits: Path, fold: str) -> list[str]:
    folds = read_json(splits)
    if not fold.isdecimal() or int(fold) >= len(folds):
        raise UserError(
            f"{splits} has {len(folds)} folds, and no fold {fold}.",
            "Bring back the splits that the model was trained with.",
        )
    return list(folds[int(fold)]["train"])


def load_image(dataset: nnUNetBaseDataset, name: str) -> Tensor:
    """The preprocessed image `(C, *S)`."""
    return torch.from_numpy(dataset.load_case(name)[0][:]).float()


def image_size(dataset: nnUNetBaseDataset, name: str) -> tuple[int, ...]:
    """`S` of it, without reading its voxels where nnU-Net's format allows it."""
    return tuple(dataset.load_case(name)[0].shape[1:])
