"""A setting as a model of its own in nnU-Net's results, for stock `nnUNetv2_predict`."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from nnunetv2.utilities.file_path_utilities import convert_trainer_plans_config_to_identifier

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.adapt import adapt_rank
from nnunetv2_factorizer.models.atomic import new_folder
from nnunetv2_factorizer.models.checkpoint import RECORD_KEY, make_record
from nnunetv2_factorizer.models.standalone import STOCK_TRAINER, standalone_checkpoint
from nnunetv2_factorizer.models.trained import TrainedModel, build_network, tuned_plans
from nnunetv2_factorizer.tune.settings import Setting

UNCHANGED = ("dataset.json", "dataset_fingerprint.json")


def plans_name(model: TrainedModel, setting: Setting) -> str:
    """Such as `nnUNetPlans_ConvFactorizer_T3`."""
    return f"{model.plans['plans_name']}_{setting.name}"


def model_folder(model: TrainedModel, setting: Setting) -> Path:
    """Where nnU-Net looks for the model, beside the trained one."""
    identifier = convert_trainer_plans_config_to_identifier(
        STOCK_TRAINER, plans_name(model, setting), model.configuration
    )
    return model.folder.with_name(identifier)


def check_free(model: TrainedModel, settings: Sequence[Setting]) -> None:
    """Checks that any of the settings could be written.

    Raises:
        UserError: a model of that name exists.
    """
    for folder in (model_folder(model, setting) for setting in settings):
        if folder.exists():
            raise UserError(
                f"{folder} exists and was not changed; the setting of that name may be the one to be written.",
                "Move that model to another results folder, or delete it.",
            )


def write_model(model: TrainedModel, setting: Setting, checkpoint_name: str) -> Path:
    """Writes the model with all its folds and gives its folder, which is there complete or not at all.

    Raises:
        UserError: the folder exists, or a weight does not fit.
    """
    check_free(model, [setting])
    plans = tuned_plans(model, setting.changes) | {"plans_name": plans_name(model, setting)}
    record = make_record(plans["configurations"][model.configuration]["architecture"])
    with torch.device("meta"):
        shapes = build_network(model, setting.changes).state_dict()
    with new_folder(model_folder(model, setting)) as folder:
        for fold, trained in model.checkpoints.items():
            checkpoint = standalone_checkpoint(trained, plans, trained["exported_from"] | {"setting": setting.name})
            checkpoint["init_args"][RECORD_KEY] = record
            checkpoint["network_weights"] = adapt_rank(trained["network_weights"], shapes)
            path = folder / f"fold_{fold}" / checkpoint_name
            path.parent.mkdir()
            torch.save(checkpoint, path)
        (folder / "plans.json").write_text(json.dumps(plans, indent=4))
        for name in UNCHANGED:
            if (model.folder / name).is_file():
                shutil.copyfile(model.folder / name, folder / name)
    return model_folder(model, setting)
