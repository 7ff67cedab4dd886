"""A trained model as it lies in nnU-Net's results, and its network in another setting on the same weights."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor

from nnunetv2_factorizer.models.adapt import adapt_rank
from nnunetv2_factorizer.models.checkpoint import read_checkpoint
from nnunetv2_factorizer.models.folders import require_checkpoint
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.models.standalone import check_predictions, origin, standalone_checkpoint, standalone_plans
from nnunetv2_factorizer.network import Factorizer


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """Plans that name the network, and a checkpoint a fold, both for nnU-Net's own trainer."""

    folder: Path
    configuration: str
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    checkpoints: dict[str, dict[str, Any]]
    """Fold to checkpoint."""

    @property
    def arch_kwargs(self) -> dict[str, Any]:
        """All arguments of the network."""
        return self.plans["configurations"][self.configuration]["architecture"]["arch_kwargs"]


def read_model(folder: Path, folds: Sequence[str], checkpoint_name: str) -> TrainedModel:
    """Reads `DATASET/TRAINER__PLANS__CONFIGURATION` and checks that its network can be named by plans.

    Raises:
        UserError: the folder, a fold or a checkpoint is missing, or a checkpoint does not fit.
    """
    paths = {fold: require_checkpoint(folder, fold, checkpoint_name) for fold in folds}
    plans, dataset_json = read_json(folder / "plans.json"), read_json(folder / "dataset.json")
    checkpoints = {fold: read_checkpoint(str(path)) for fold, path in paths.items()}
    first = checkpoints[folds[0]]
    trainer = recursive_find_trainer_class_by_name(first["trainer_name"])
    configuration = first["init_args"]["configuration"]
    standalone = standalone_plans(plans, trainer)
    for fold, checkpoint in checkpoints.items():
        check_predictions(checkpoint, trainer, plans, standalone, dataset_json)
        checkpoints[fold] = standalone_checkpoint(checkpoint, standalone, origin(trainer, plans))
    return TrainedModel(
        folder=folder,
        configuration=configuration,
        plans=standalone,
        dataset_json=dataset_json,
        checkpoints=checkpoints,
    )


def tuned_plans(model: TrainedModel, changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of the plans with other arguments of the network."""
    plans = deepcopy(model.plans)
    plans["configurations"][model.configuration]["architecture"]["arch_kwargs"] |= changes
    return plans


def patch_shape(model: TrainedModel) -> tuple[int, ...]:
    """`(C, *S)` of what the network sees."""
    manager = PlansManager(deepcopy(model.plans))
    configuration = manager.get_configuration(model.configuration)
    return determine_num_input_channels(manager, configuration, model.dataset_json), *configuration.patch_size


def build_network(model: TrainedModel, changes: dict[str, Any]) -> Factorizer:
    """The network as nnU-Net builds it for prediction, without weights: wrap it in `torch.device("meta")`."""
    manager = PlansManager(tuned_plans(model, changes))
    configuration = manager.get_configuration(model.configuration)
    num_input_channels = determine_num_input_channels(manager, configuration, model.dataset_json)
    num_classes = manager.get_label_manager(model.dataset_json).num_segmentation_heads
    network: Factorizer = nnUNetTrainer.build_network_architecture(
        manager, configuration, num_input_channels, num_classes, enable_deep_supervision=False
    )
    return network.eval()


def trained_network(model: TrainedModel, fold: str, device: torch.device) -> Factorizer:
    """The network of a fold with weights of its own."""
    with torch.random.fork_rng(devices=[]):  # its first initial factors are random, and replaced at once
        network = build_network(model, {})
    network.load_state_dict(model.checkpoints[fold]["network_weights"])
    return network.to(device)


def tuned_network(model: TrainedModel, changes: dict[str, Any], weights: dict[str, Tensor]) -> Factorizer:
    """The network in another setting. It shares `weights`, a state dict of the trained one, in memory.

    Raises:
        UserError: a weight does not fit.
    """
    with torch.device("meta"):
        network = build_network(model, changes)
    network.load_state_dict(adapt_rank(weights, network.state_dict()), assign=True)
    return network
