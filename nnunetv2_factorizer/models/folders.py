"""Where nnU-Net keeps things: the folders of its variables, and the checkpoints of a trained model."""

import os
from pathlib import Path

from nnunetv2_factorizer.errors import UserError


def nnunet_folder(variable: str) -> Path:
    """The folder that one of nnU-Net's variables names, such as `nnUNet_results`.

    Raises:
        UserError: the variable is not set.
    """
    value = os.environ.get(variable)
    if not value:
        raise UserError(f"{variable} is not set.", f"Set it as nnU-Net's documentation says: export {variable}=FOLDER")
    return Path(value)


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
