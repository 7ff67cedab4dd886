"""A trained model as it lies in nnU-Net's results, and its network in another setting on the same weights."""

import zlib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor

from nnunetv2_factorizer.export.standalone import check_predictions, origin, standalone_checkpoint, standalone_plans
from nnunetv2_factorizer.inference.model import require_checkpoint
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.planning.architecture import CLASS_NAME
from nnunetv2_factorizer.training.checkpoint import different_weight, read_checkpoint

OF_THE_RANK = ("nmf.u0", "nmf.v0")
"""Ends of the names of the initial factors `(M, R)` and `(N, R)`, all that changes its shape with a setting."""


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
        FileNotFoundError: the folder, a fold or a checkpoint is missing.
        ValueError: the network is not a Factorizer, or a checkpoint does not fit.
    """
    paths = {fold: require_checkpoint(folder, fold, checkpoint_name) for fold in folds}
    plans, dataset_json = load_json(str(folder / "plans.json")), load_json(str(folder / "dataset.json"))
    checkpoints = {fold: read_checkpoint(str(path)) for fold, path in paths.items()}
    first = checkpoints[folds[0]]
    trainer = recursive_find_trainer_class_by_name(first["trainer_name"])
    configuration = first["init_args"]["configuration"]
    standalone = standalone_plans(plans, trainer)
    class_name = PlansManager(deepcopy(standalone)).get_configuration(configuration).network_arch_class_name
    if class_name != CLASS_NAME:
        raise ValueError(
            f"the network of {folder} is {class_name}, which has no factorization.\n"
            "Give the trainer (-tr) or the plans (-p) of a Factorizer."
        )
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
        ValueError: a weight does not fit.
    """
    with torch.device("meta"):
        network = build_network(model, changes)
    network.load_state_dict(adapt_weights(weights, network.state_dict()), assign=True)
    return network


def adapt_weights(trained: dict[str, Tensor], network: dict[str, Tensor]) -> dict[str, Tensor]:
    """The trained weights, the same tensors, with initial factors for the rank of another network.

    Their first columns are the trained ones. Further columns are uniform in (0, 1) as in training, the same every time
    and the same for every rank that has them; no global random number generator is touched.

    Args:
        trained: a state dict.
        network: the state dict of the network to load into, of which the shapes are used.

    Raises:
        ValueError: anything but the rank differs.
    """
    adapted = dict(trained)
    for name, tensor in network.items():
        if name in trained and name.endswith(OF_THE_RANK) and trained[name].shape != tensor.shape:
            adapted[name] = _columns(trained[name], tensor.shape[1], name)
    difference = different_weight(adapted, network)
    if difference:
        raise ValueError(
            f"the trained weights do not fit this setting: {difference}.\n"
            "Only num_iters, rank, solver and skip_nmf may differ from the training."
        )
    return adapted


def _columns(factor: Tensor, rank: int, name: str) -> Tensor:
    """The first `rank` columns of a factor `(M, R)`, with more of them where it has less."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    new = torch.rand(max(0, rank - factor.shape[1]), len(factor), generator=generator).T
    return torch.cat([factor[:, :rank], new.to(factor)], dim=1).contiguous()
