"""A second data set, whose labels are not read, beside the one in training: found by a variable."""

import os
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.adaptation.source_data import channels_of, preprocessing_of
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.pretraining.places import Unlabelled

VARIABLE = "nnUNet_target_dataset"
"""The environment variable with the ID or name of the data set of the new scanner."""


def find_target(trainer: Any) -> tuple[str, Unlabelled]:
    """Name and images of the data set that the variable names: all its preprocessed cases, without their labels.

    Its plans may have any name, but must preprocess images as those in training do.

    Args:
        trainer: on the labelled data set.

    Raises:
        UserError: the variable names no other data set, or one that is not preprocessed in this way.
    """
    own, configuration = trainer.plans_manager.dataset_name, trainer.configuration_name
    name = _named(type(trainer).__name__)
    if name == own:
        raise UserError(
            f"the variable {VARIABLE} names {name}, which is also the data set in training.",
            "Set it to the data set of the new scanner, and train on that of the old one.",
        )
    if trainer.is_cascaded:
        raise UserError(
            f"{configuration} is the second stage of a cascade, which needs predictions of the first for {name}, too.",
            "Train 2d, 3d_fullres or 3d_lowres.",
        )
    base = Path(nnUNet_preprocessed) / name
    description = base / "dataset.json"
    if not description.is_file():
        raise UserError(f"{name} is not preprocessed: {description} does not exist.", _preprocess(name, trainer))
    there, here = (channels_of(known)["channel_names"] for known in (read_json(description), trainer.dataset_json))
    if list(there.values()) != list(here.values()):
        raise UserError(
            f"{name} has the channels {', '.join(there.values())}, {own} has {', '.join(here.values())}.",
            "Give images with the same channels in the same order, under the same names.",
        )
    reasons = []
    for file in sorted(base.glob("*.json"), key=lambda path: path.stem != trainer.plans_manager.plans_name):
        content = read_json(file)
        if isinstance(content, dict) and "configurations" in content:
            plans = PlansManager(content)
            if (reason := _difference(plans, trainer, base)) is None:
                folder = str(base / plans.get_configuration(configuration).data_identifier)
                return name, Unlabelled(infer_dataset_class(folder)(folder), 0)
            reasons.append(f"{file.name}: {reason}")
    raise UserError(
        f"{name} is not preprocessed for {configuration} as {own} is ({'; '.join(reasons) or 'it has no plans'}).",
        _preprocess(name, trainer),
    )


def _named(asking: str) -> str:
    given = os.environ.get(VARIABLE)
    example = f"Set {VARIABLE} to the ID or the name of the data set of the new scanner, such as {VARIABLE}=12."
    if not given:
        raise UserError(f"{asking} needs images of a new scanner, and the variable {VARIABLE} is not set.", example)
    try:
        return str(maybe_convert_to_dataset_name(given))
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition(". ")[0]
        raise UserError(f"the variable {VARIABLE} names {given}: {reason}.", example) from None


def _difference(plans: PlansManager, trainer: Any, base: Path) -> str | None:
    """Why images that were preprocessed with these plans cannot be taken."""
    configuration = trainer.configuration_name
    if configuration not in plans.available_configurations:
        return f"no configuration {configuration}"
    here = preprocessing_of(trainer.plans_manager, configuration)
    for key, value in preprocessing_of(plans, configuration).items():
        if value != here.get(key):
            return f"{key} is {value}, not {here.get(key)}"
    folder = base / plans.get_configuration(configuration).data_identifier
    return None if folder.is_dir() and any(folder.iterdir()) else f"{folder} is missing or empty"


def _preprocess(name: str, trainer: Any) -> str:
    own, plans = trainer.plans_manager.dataset_name, trainer.plans_manager.plans_name
    source, target = int(own[7:10]), int(name[7:10]) if name[7:10].isdecimal() else name
    return (
        "Preprocess it with the plans of the data set in training:\n"
        f"nnUNetv2_plan_and_preprocess -d {target} --no_pp\n"
        f"nnUNetv2_move_plans_between_datasets -s {source} -t {target} -sp {plans} -tp {plans}_of{source}\n"
        f"nnUNetv2_preprocess -d {target} -plans_name {plans}_of{source} -c {trainer.configuration_name}\n"
        f"Images without any labels: nnUNetv2_factorizer_unlabelled -i FOLDER -d NEW_ID -like {source} -p {plans} "
        f"-c {trainer.configuration_name}"
    )
