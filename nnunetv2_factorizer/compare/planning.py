"""The plans of each network: those given, with its architecture; or with patch and batch for a memory target."""

import json
from collections.abc import Sequence
from copy import deepcopy
from math import prod
from typing import Any

from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.experiment_planners.residual_unets import residual_encoder_unet_planners
from nnunetv2.utilities.json_export import recursive_fix_for_json_export
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.compare.networks import PLAIN, PRIMUS, Network
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.planning.planner import FamilyPlanner
from nnunetv2_factorizer.training import FamilyTrainer

PLANNED = ("patch_size", "batch_size", "architecture")
"""What a planner decides; all else, such as spacing and preprocessed data, stays that of the given plans."""
PRIMUS_PATCH = 8
"""Voxels of an axis that are one token."""


def plans_for(network: Network, plans: dict[str, Any], configuration: str, memory: float | None) -> dict[str, Any]:
    """A copy of the plans for one network.

    Args:
        network: to be trained.
        plans: that are given.
        configuration: such as `3d_fullres`; all others stay as they are.
        memory: target in GB; None for the patch and the batch of the plans.

    Raises:
        UserError: nothing fits into the memory target, or nnU-Net's Primus cannot take the patch.
    """
    result = _planned(network, plans, configuration, memory)
    if network.name == PRIMUS:
        _check_primus(PlansManager(deepcopy(result)).get_configuration(configuration).patch_size)
    return result


def _planned(network: Network, plans: dict[str, Any], configuration: str, memory: float | None) -> dict[str, Any]:
    settings = PlansManager(deepcopy(plans)).get_configuration(configuration).configuration
    result = deepcopy(plans)
    own: dict[str, Any] = result["configurations"][configuration]
    if memory is None:
        if network.planner != PLAIN:
            planner = _planner(network, plans["dataset_name"], None)
            own["architecture"] = residual(settings["architecture"], planner)
        return result
    planner = _planner(network, plans["dataset_name"], memory)
    shape = settings["median_image_size_in_voxels"]
    voxels = float(prod(shape)) * len(planner.dataset)
    try:
        planned = planner.get_plans_for_configuration(
            settings["spacing"], shape, settings["data_identifier"], voxels, {}
        )
    except UserError as error:
        raise UserError(
            error.cause, "Give --memory that or more, and another -o; or leave this network out."
        ) from error
    recursive_fix_for_json_export(planned)
    own |= json.loads(json.dumps({key: planned[key] for key in PLANNED}))
    return result


def residual(architecture: dict[str, Any], planner: Any) -> dict[str, Any]:
    """nnU-Net's residual encoder U-Net with the stages of a plain U-Net, as its planner makes it.

    Args:
        architecture: of the plans.
        planner: nnU-Net's, which knows the blocks of each stage.
    """
    kwargs, stages = dict(architecture["arch_kwargs"]), architecture["arch_kwargs"]["n_stages"]
    kwargs.pop("n_conv_per_stage", None)
    kwargs["n_blocks_per_stage"] = list(planner.UNet_blocks_per_stage_encoder[:stages])
    kwargs["n_conv_per_stage_decoder"] = list(planner.UNet_blocks_per_stage_decoder[: stages - 1])
    name = f"{planner.UNet_class.__module__}.{planner.UNet_class.__name__}"
    return architecture | {"network_class_name": name, "arch_kwargs": kwargs}


def _check_primus(patch_size: Sequence[int]) -> None:
    """What nnU-Net's trainer leaves to a crash."""
    if len(patch_size) != 3:
        raise UserError("Primus is a network for 3D only.", "Give a 3D configuration with -c, or leave it out.")
    if any(size % PRIMUS_PATCH for size in patch_size):
        raise UserError(
            f"Primus cannot take a patch of {'x'.join(map(str, patch_size))} voxels: it divides it into cubes of "
            f"{PRIMUS_PATCH}.",
            f"Give plans with a patch of multiples of {PRIMUS_PATCH} (-p) and another -o, or leave it out.",
        )


def _planner(network: Network, dataset: str, memory: float | None) -> Any:
    """nnU-Net's planner, or ours where the trainer builds the network of a family."""
    trainer = network.trainer_class
    planner: Any = getattr(residual_encoder_unet_planners, network.planner, ExperimentPlanner)
    if issubclass(trainer, FamilyTrainer):
        attributes = {"family": trainer.family, "choices": trainer.choices}
        planner = type("nnUNetPlannerComparison", (FamilyPlanner,), attributes)
    return planner(dataset) if memory is None else planner(dataset, memory)
