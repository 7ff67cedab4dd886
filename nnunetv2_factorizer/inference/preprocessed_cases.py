"""The preprocessed cases that a fold was trained and validated on, as nnU-Net keeps them; labels are not opened."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class, nnUNetBaseDataset
from nnunetv2.utilities.crossval_split import generate_crossval_split
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json

REMEDY = "Set nnUNet_preprocessed as for the training, or preprocess the data set again with the model's plans."


@dataclass(frozen=True)
class FoldCases:
    """The cases of a fold, sorted; of the fold `all`, every case is a training case.

    Attributes:
        data: nnU-Net's data set of all of them.
        train: names.
        validation: names.
    """

    data: nnUNetBaseDataset
    train: list[str]
    validation: list[str]

    def image(self, name: str) -> Tensor:
        """The preprocessed image `(C, *S)`."""
        return torch.from_numpy(self.data.load_case(name)[0][:]).float()

    def size(self, name: str) -> tuple[int, ...]:
        """`S` of it, without reading its voxels where nnU-Net's format allows it."""
        return tuple(self.data.load_case(name)[0].shape[1:])


def fold_cases(dataset: str, configuration: ConfigurationManager, fold: str, purpose: str) -> FoldCases:
    """The cases of a fold, by `splits_final.json`.

    Args:
        dataset: name, such as `Dataset004_Hippocampus`.
        configuration: of the plans.
        fold: such as `0` or `all`.
        purpose: what needs them, for messages.

    Raises:
        UserError: the preprocessed data, the splits or a case are not there, or the splits do not have the fold.
    """
    try:
        base = nnunet_folder("nnUNet_preprocessed") / dataset
    except UserError as error:
        raise UserError(f"{error.cause[:-1]}, but {purpose} needs the training images.", error.remedy) from error
    folder, splits = base / configuration.data_identifier, base / "splits_final.json"
    for path in [folder, splits] if fold != "all" else [folder]:
        if not path.exists():
            raise UserError(f"{path} does not exist, but {purpose} needs the training images.", REMEDY)
    dataset_class = infer_dataset_class(str(folder))
    there = sorted(dataset_class.get_identifiers(str(folder)))
    train, validation = (there, []) if fold == "all" else _parts(splits, fold)
    names = sorted([*train, *validation])
    if missing := sorted(set(names) - set(there)):
        raise UserError(
            f"{len(missing)} of {len(names)} cases of fold {fold}, such as {missing[0]}, are not in {folder}.", REMEDY
        )
    return FoldCases(dataset_class(str(folder), names), train, validation)


def write_splits(splits: Path, names: Sequence[str], folds: int) -> None:
    """Writes nnU-Net's own folds, as its training would write them; two trainings that begin at once need them before.

    Args:
        splits: the file.
        names: of all cases.
        folds: their number.
    """
    with replacing(str(splits)) as unfinished:
        parts = generate_crossval_split(sorted(names), seed=12345, n_splits=folds)
        Path(unfinished).write_text(json.dumps(parts, indent=4, default=str), encoding="utf-8")


def _parts(splits: Path, fold: str) -> tuple[list[str], list[str]]:
    folds = read_json(splits)
    if not fold.isdecimal() or int(fold) >= len(folds):
        raise UserError(
            f"{splits} has {len(folds)} folds, and no fold {fold}.",
            "Bring back the splits that the model was trained with, or give another fold with -f.",
        )
    return sorted(folds[int(fold)]["train"]), sorted(folds[int(fold)]["val"])
