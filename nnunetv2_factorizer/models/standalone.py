"""Plans and checkpoints that nnU-Net's own trainer loads, whichever trainer made them.

At inference nnU-Net asks the trainer for nothing but the network. Plans that name the network say as much.
"""

from copy import deepcopy
from importlib.metadata import version
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor

from nnunetv2_factorizer import DISTRIBUTION
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.families import family_of

STOCK_TRAINER = nnUNetTrainer.__name__

NOT_FOR_INFERENCE = ("optimizer_state", "grad_scaler_state")
"""Two thirds of a checkpoint; only a training that goes on with the same optimiser reads them."""


def standalone_name(plans_name: str, trainer_name: str) -> str:
    """A name for the plans that no other model of the data set has, such as `nnUNetPlans_ConvFactorizer`.

    An installed model replaces the one of the same trainer, plans and configuration, and the trainer will be nnU-Net's.
    """
    suffix = trainer_name.removeprefix(STOCK_TRAINER).lstrip("_")
    return f"{plans_name}_{suffix}" if suffix else plans_name


def origin(trainer: type[nnUNetTrainer], plans: dict[str, Any]) -> dict[str, str]:
    """What a checkpoint for nnU-Net's own trainer says of its training: trainer, plans and versions of the packages."""
    return {
        "trainer": trainer.__name__,
        "plans": plans["plans_name"],
        DISTRIBUTION: version(DISTRIBUTION),
        "nnunetv2": version("nnunetv2"),
    }


def standalone_plans(plans: dict[str, Any], trainer: type[nnUNetTrainer]) -> dict[str, Any]:
    """The plans with the network that `trainer` builds named in each configuration, all its arguments spelled out.

    Args:
        plans: those of the training, which are not changed.
        trainer: one that says what it builds, or any that builds what the plans name.

    Raises:
        UserError: the trainer builds a network of a family for one that does not say what that needs to know.
    """
    manager = PlansManager(deepcopy(plans))
    standalone = deepcopy(plans)
    standalone["plans_name"] = standalone_name(plans["plans_name"], trainer.__name__)
    for name in manager.available_configurations:
        # With inherited settings resolved: a configuration may have the network of another, but its own patch size.
        configuration = manager.get_configuration(name)
        architecture = _architecture(trainer, configuration)
        family = family_of(architecture["network_class_name"])
        defaults = family.defaults if family is not None else {}  # another version may have others
        kwargs = {"arch_kwargs": defaults | architecture["arch_kwargs"]}
        standalone["configurations"][name]["architecture"] = architecture | kwargs
    return standalone


def _architecture(trainer: type[nnUNetTrainer], configuration: ConfigurationManager) -> dict[str, Any]:
    """What the trainer builds, by what it says of itself (`training.Guard.architecture_of`) or by the plans."""
    if hasattr(trainer, "architecture_of"):
        return trainer.architecture_of(configuration)
    architecture: dict[str, Any] = configuration.configuration["architecture"]
    return architecture


def standalone_checkpoint(checkpoint: dict[str, Any], plans: dict[str, Any], record: dict[str, str]) -> dict[str, Any]:
    """The checkpoint for `plans` and nnU-Net's trainer, with where it came from, without what inference does not read.

    Args:
        checkpoint: what nnU-Net saved; it is not changed.
        plans: of `standalone_plans`.
        record: kept as `exported_from`.
    """
    kept = {key: value for key, value in checkpoint.items() if key not in NOT_FOR_INFERENCE}
    return kept | {
        "trainer_name": STOCK_TRAINER,
        "init_args": checkpoint["init_args"] | {"plans": plans},
        "exported_from": record,
    }


def check_predictions(
    checkpoint: dict[str, Any],
    trainer: type[nnUNetTrainer],
    plans: dict[str, Any],
    standalone: dict[str, Any],
    dataset_json: dict[str, Any],
) -> None:
    """Checks that both trainers build networks with equal logits, bit by bit, for a random patch.

    Args:
        checkpoint: holds the weights.
        trainer: the one of the training.
        plans: those of the training.
        standalone: those of `standalone_plans`.
        dataset_json: of the training.

    Raises:
        UserError: the weights do not fit one of the networks, or the logits differ.
    """
    configuration = checkpoint["init_args"]["configuration"]
    original = _logits(checkpoint, trainer, plans, dataset_json)
    exported = _logits(checkpoint, nnUNetTrainer, standalone, dataset_json)
    if not torch.equal(original, exported):
        raise UserError(
            f"plans cannot name the network that {trainer.__name__} builds for {configuration}: the exported model "
            "would predict something else. Nothing was written.",
            "Use nnUNetv2_export_model_to_zip, and give your trainer along with the model.",
        )


def _logits(
    checkpoint: dict[str, Any], trainer: type[nnUNetTrainer], plans: dict[str, Any], dataset_json: dict[str, Any]
) -> Tensor:
    """Logits `(1, num_classes, *patch)` of the network that nnU-Net would predict with."""
    manager = PlansManager(deepcopy(plans))
    configuration = manager.get_configuration(checkpoint["init_args"]["configuration"])
    num_input_channels = determine_num_input_channels(manager, configuration, dataset_json)
    num_classes = manager.get_label_manager(dataset_json).num_segmentation_heads
    network = trainer.build_network_architecture(
        manager, configuration, num_input_channels, num_classes, enable_deep_supervision=False
    )
    try:
        network.load_state_dict(checkpoint["network_weights"])
    except RuntimeError as error:
        raise UserError(
            f"the weights do not fit the network that {trainer.__name__} builds from the plans {manager.plans_name}: "
            f"{error}",
            "Nothing was written. Export with the versions and settings that the model was trained with.",
        ) from error
    generator = torch.Generator().manual_seed(0)
    patch = torch.randn(1, num_input_channels, *configuration.patch_size, generator=generator)
    with torch.inference_mode():
        return network.eval()(patch)
