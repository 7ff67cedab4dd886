"""A predictor of a trained model, set up as `nnUNetv2_predict` sets it up."""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.input_check import check_inputs
from nnunetv2_factorizer.inference.pretrained import initialise_from_pretraining
from nnunetv2_factorizer.inference.tiles import uncompiled
from nnunetv2_factorizer.models.folders import PRETRAINED, require_checkpoint

Load = Callable[[], nnUNetPredictor]
"""Gives the predictor of a model; called once a case, perhaps in another process."""


def load_model(
    folder: Path, folds: Sequence[str], checkpoint_name: str, device: torch.device, **settings: Any
) -> nnUNetPredictor:
    """Loads the folds of `DATASET/TRAINER__PLANS__CONFIGURATION`, or one fold of a pre-training.

    Args:
        folder: of the model.
        folds: such as `"0"` or `"all"`.
        checkpoint_name: in the folder of each fold; `checkpoint_pretrained.pth` is a pre-training's, see `pretrained`.
        device: to predict on.
        **settings: of `nnUNetPredictor`.

    Raises:
        UserError: a fold or its checkpoint is missing, nnU-Net does not find the trainer, or the weights do not fit.
    """
    predictor = nnUNetPredictor(device=device, **settings)
    load_into(predictor, folder, folds, checkpoint_name)
    return predictor


def load_into(predictor: nnUNetPredictor, folder: Path, folds: Sequence[str], checkpoint_name: str) -> None:
    """`load_model` for a predictor that was made already, of a class of one's own for example.

    Raises:
        UserError: as `load_model`.
    """
    for fold in folds:
        require_checkpoint(folder, fold, checkpoint_name)
    if predictor.device.type == "cpu":
        torch.set_num_threads(os.cpu_count() or 1)
    else:
        torch.set_num_threads(1)
    try:
        if checkpoint_name == PRETRAINED and len(folds) == 1:
            initialise_from_pretraining(predictor, folder, folds[0], checkpoint_name)
        else:
            predictor.initialize_from_trained_model_folder(str(folder), tuple(folds), checkpoint_name)
    except RuntimeError as error:
        raise UserError(
            f"{folder} cannot be loaded: {error}",
            'Our trainers are found after eval "$(nnUNetv2_factorizer_env)"; see nnUNetv2_factorizer_doctor.',
        ) from error
    channels = determine_num_input_channels(
        predictor.plans_manager, predictor.configuration_manager, predictor.dataset_json
    )
    check_inputs(uncompiled(predictor.network), channels)


@lru_cache(maxsize=1)
def load_model_once(
    folder: Path, folds: tuple[str, ...], checkpoint_name: str, device: torch.device, **settings: Any
) -> nnUNetPredictor:
    """`load_model` for work on many cases: a worker loads the model with its first case and keeps it."""
    return load_model(folder, folds, checkpoint_name, device, **settings)
