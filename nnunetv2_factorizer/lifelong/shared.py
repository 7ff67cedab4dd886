"""What all stages of a pool have in common: a voxel, a channel and a label mean the same in each of them."""

import json
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.adaptation.source_data import channels_of
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.lifelong.stage import StageData, preprocessed_base
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.pretraining.finetuning import labels_of

OF_ONE_STAGE = ("data_identifier",)
"""Of a configuration, what may differ: where its data are."""


def common(data: StageData, configuration: str) -> dict[str, Any]:
    """The settings of a stage that must be those of the first one: of its plans, and its labels and channels.

    Raises:
        UserError: there are no such plans, or they have no such configuration, or it is the second of a cascade.
    """
    base = preprocessed_base(data.dataset)
    file = base / f"{data.plans}.json"
    for path in (file, base / "dataset.json"):
        if not path.is_file():
            raise UserError(
                f"{path} does not exist: {data.dataset} was not planned as {data.plans}.",
                "Name its plans with -p. The first stage is planned by nnUNetv2_plan_and_preprocess; a later one takes "
                "the plans of the first by nnUNetv2_move_plans_between_datasets, then nnUNetv2_preprocess.",
            )
    plans, description = PlansManager(read_json(file)), read_json(base / "dataset.json")
    if configuration not in plans.available_configurations:
        raise UserError(
            f"{file} has no configuration {configuration}.", f"Give one of {', '.join(plans.available_configurations)}."
        )
    settings = plans.get_configuration(configuration)
    if settings.previous_stage_name is not None:
        raise UserError(
            f"{configuration} is the second stage of a cascade, which needs predictions of the first.",
            "Make a pool of 2d, 3d_fullres or 3d_lowres.",
        )
    found = {name: value for name, value in settings.configuration.items() if name not in OF_ONE_STAGE}
    found |= {"transpose_forward": plans.transpose_forward, **labels_of(description)}
    found |= channels_of(description)
    if "CTNormalization" in settings.normalization_schemes:
        found["intensities of CT"] = plans.foreground_intensity_properties_per_channel
    as_json: dict[str, Any] = json.loads(json.dumps(found))
    return as_json


def check_common(here: dict[str, Any], first: dict[str, Any], data: StageData, of_first: StageData, c: str) -> None:
    """Raises a `UserError` where a stage is not like the first one.

    Args:
        here: what `common` gives for the stage.
        first: the same for the first one.
        data: of the stage.
        of_first: the data of the first one.
        c: the configuration.
    """
    for name in first.keys() | here.keys():
        there, value = first.get(name), here.get(name)
        if there == value:
            continue
        cause = (
            f"the stage {data.dataset} ({data.plans}) is of another plan than the first one, {of_first.dataset} "
            f"({of_first.plans}): {name} is {_short(value)} here, {_short(there)} there."
        )
        if name in ("labels", "regions_class_order", "channel_names"):
            raise UserError(cause, "Write its cases with the labels and channels of the first stage, or begin a pool.")
        new = f"{of_first.plans}_of{int(of_first.dataset[7:10])}"
        raise UserError(
            cause,
            "Preprocess it with the plans of the first stage:\n"
            f"nnUNetv2_move_plans_between_datasets -s {of_first.dataset} -t {data.dataset} -sp {of_first.plans} "
            f"-tp {new}\n"
            f"nnUNetv2_preprocess -d {int(data.dataset[7:10])} -plans_name {new} -c {c}\n"
            f"and train with -p {new}.",
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."
