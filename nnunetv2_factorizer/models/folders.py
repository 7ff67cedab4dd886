"""Where nnU-Net keeps things: the folders of its variables, and the checkpoints of a trained model."""

import os
from pathlib import Path

from nnunetv2_factorizer.errors import UserError

FINAL = "checkpoint_final.pth"
PRETRAINED = "checkpoint_pretrained.pth"
"""What a pre-training leaves for fine-tuning: weights without the heads of its task."""


def nnunet_folder(variable: str) -> Path:
    """The folder that one of nnU-Net's variables names, such as `nnUNet_results`.

    Raises:
        UserError: the variable is not set.
    """
    value = os.environ.get(variable)
    if not value:
        raise UserError(f"{variable} is not set.", f"Set it as nnU-Net's documentation says: export {variable}=FOLDER")
    return Path(value)


def without_task(folder: Path, fold: str, checkpoint_name: str) -> str:
    """The name of the checkpoint whose network gives features: a pre-training's final one still has heads of its task.

    Args:
        folder: of the model `DATASET/TRAINER__PLANS__CONFIGURATION`.
        fold: of it.
        checkpoint_name: that of an ordinary training, which is given back where the fold is one.
    """
    pretrained = checkpoint_name == FINAL and (folder / f"fold_{fold}" / PRETRAINED).is_file()
    return PRETRAINED if pretrained else checkpoint_name


def require_checkpoint(folder: Path, fold: str, checkpoint_name: str) -> Path:
    """The checkpoint of a fold of the model `DATASET/TRAINER__PLANS__CONFIGURATION`.

    Raises:
        UserError: there is none; the message names the folds that have one.
    """
    path = folder / f"fold_{fold}" / checkpoint_name
    if path.is_file():
        return path
    found = [p.parent.name.removeprefix("fold_") for p in sorted(folder.glob(f"fold_*/{checkpoint_name}"))]
    raise UserError(
        f"{path} does not exist; the folds with {checkpoint_name} are: {' '.join(found) or 'none'}.",
        "Name the model with -d, -tr, -p and -c, the folds with -f and the checkpoint with -chk, or train it.",
    )
