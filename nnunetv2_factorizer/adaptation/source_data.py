"""The data that a source model was trained on, found by its checkpoint, and whether they can be mixed with others."""

import json
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.checkpoint import made_by
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.pretraining.finetuning import labels_of

if TYPE_CHECKING:
    from nnunetv2_factorizer.adaptation.trainer import Adapting

OTHER_METHODS = "or take a method that needs no source data: AdaptL2SP, AdaptAll."
PREPROCESSING = ("spacing", "normalization_schemes", "use_mask_for_norm", "preprocessor_name")
"""Of a configuration, what makes a voxel mean the same."""


def find_source(checkpoint: dict[str, Any], path: str, trainer: "Adapting") -> tuple[str, Any]:
    """The name of the source data set, and nnU-Net's data set of the training cases of the checkpoint's fold.

    Args:
        checkpoint: of the source model; its `init_args` say what it was trained on.
        path: of the file, for messages.
        trainer: of the new scanner.

    Raises:
        UserError: the data are not there or not complete, or cannot be mixed with those of the new scanner.
    """
    arguments = checkpoint["init_args"]
    source = f"{path} ({made_by(checkpoint)})"
    name, configuration = arguments["plans"]["dataset_name"], arguments["configuration"]
    if trainer.is_cascaded:
        raise UserError(
            f"{trainer.configuration_name} is the second stage of a cascade, which needs predictions of the first for "
            "the source, too.",
            f"Adapt 2d, 3d_fullres or 3d_lowres, {OTHER_METHODS}",
        )
    if name == trainer.plans_manager.dataset_name:
        raise UserError(
            f"{source} was trained on {name}, which is also the data set in training: there is nothing to mix.",
            "Make a data set of the new scanner's cases alone, and name it on the command line.",
        )
    base = Path(nnUNet_preprocessed) / name
    file = base / f"{arguments['plans']['plans_name']}.json"
    # Data are as the file says, which may be newer than the checkpoint.
    plans = PlansManager(read_json(file) if file.is_file() else deepcopy(arguments["plans"]))
    if configuration not in plans.available_configurations:
        raise UserError(f"{file} has no configuration {configuration}.", _preprocess(name, plans, configuration))
    _check_meaning(arguments["dataset_json"], plans, configuration, source, trainer)
    folder = base / plans.get_configuration(configuration).data_identifier
    if not folder.is_dir() or not any(folder.iterdir()):
        raise UserError(
            f"{source} was trained on {name}, whose data are not there: {folder} is missing or empty.",
            _preprocess(name, plans, configuration),
        )
    dataset = infer_dataset_class(str(folder))
    cases = _training_cases(arguments["fold"], dataset.get_identifiers(str(folder)), base / "splits_final.json", source)
    return name, dataset(str(folder), cases)


def _check_meaning(
    description: dict[str, Any], plans: PlansManager, configuration: str, source: str, trainer: "Adapting"
) -> None:
    """That labels, channels and voxels of both data sets mean the same."""
    name = trainer.plans_manager.dataset_name
    for there, here in (
        (labels_of(description), labels_of(trainer.dataset_json)),
        (channels_of(description), channels_of(trainer.dataset_json)),
    ):
        if there != here:
            raise UserError(
                f"{source} and {name} cannot be mixed in a batch: {json.dumps(there)} there, {json.dumps(here)} here.",
                f"Write the cases of {name} with the labels and channels of the source, {OTHER_METHODS}",
            )
    there = preprocessing_of(plans, configuration)
    here = preprocessing_of(trainer.plans_manager, trainer.configuration_name)
    for key, value in there.items():
        if value != here[key]:
            raise UserError(
                f"{source} and {name} cannot be mixed in a batch: {key} is {value} in the plans "
                f"{plans.plans_name} of {plans.dataset_name}, {here[key]} in {trainer.plans_manager.plans_name} here.",
                "Preprocess the new scanner like the source, under a name of its own:\n"
                f"nnUNetv2_move_plans_between_datasets -s {plans.dataset_name} -t {name} -sp {plans.plans_name} "
                f"-tp NEW_NAME\n"
                f"nnUNetv2_preprocess -d {int(name[7:10])} -plans_name NEW_NAME -c {configuration}\n"
                "and train with -p NEW_NAME.",
            )


def channels_of(dataset_json: dict[str, Any]) -> dict[str, Any]:
    """Of the images of a data set, by either of the names that nnU-Net knows."""
    return {"channel_names": dataset_json.get("channel_names", dataset_json.get("modality"))}


def preprocessing_of(plans: PlansManager, configuration: str) -> dict[str, Any]:
    """What of a configuration makes a voxel mean what it does, by its name in the plans."""
    settings = plans.get_configuration(configuration).configuration
    meaning = {"transpose_forward": plans.transpose_forward, **{key: settings[key] for key in PREPROCESSING}}
    if "CTNormalization" in settings["normalization_schemes"]:
        meaning["intensities of CT"] = plans.foreground_intensity_properties_per_channel
    return meaning


def _training_cases(fold: int | str, present: list[str], splits_file: Path, source: str) -> list[str]:
    """Those that the source model was trained on: its validation cases stay unseen."""
    if fold == "all":
        return sorted(present)
    splits = read_json(splits_file) if splits_file.is_file() else []
    if int(fold) >= len(splits):
        raise UserError(
            f"{source} is of fold {fold}, and {splits_file} "
            + (f"has {len(splits)} folds only." if splits else "is missing."),
            f"Bring back the split that it was trained with, {OTHER_METHODS}",
        )
    cases: list[str] = splits[int(fold)]["train"]
    if missing := sorted(set(cases) - set(present)):
        raise UserError(
            f"{len(missing)} of {len(cases)} training cases of {source} are not preprocessed, such as {missing[0]}.",
            f"Preprocess the source data set again, {OTHER_METHODS}",
        )
    return cases


def _preprocess(name: str, plans: PlansManager, configuration: str) -> str:
    return (
        f"Bring the source data back and preprocess them: nnUNetv2_preprocess -d {int(name[7:10])} -plans_name "
        f"{plans.plans_name} -c {configuration}, {OTHER_METHODS}"
    )
