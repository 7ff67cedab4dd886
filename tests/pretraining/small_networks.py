"""A small network of each family, 2D and 3D, by the architecture that plans would hold; and a checkpoint of it."""

from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

from nnunetv2_factorizer.families import FACTORIZER, UNET_IMPORTS
from nnunetv2_factorizer.models.checkpoint import RECORD_KEY, make_record
from tests.training.networks import UNETS, unet_kwargs

UNET_NAMES = ("PlainConvUNet", "ResidualEncoderUNet")
NETWORKS = (*UNET_NAMES, *FACTORIZER.variants)


def architecture(name: str, num_axes: int = 3, **changes: Any) -> dict[str, Any]:
    """Of three stages; `changes` are arguments of the network."""
    if name in UNET_NAMES:
        depth = "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage"
        kwargs = unet_kwargs(num_axes) | {depth: [1, 1, 1]}
        class_name, imports = f"{UNETS}.{name}", list(UNET_IMPORTS)
    else:
        kwargs = {
            "n_stages": 3,
            "features_per_stage": [8, 16, 16],
            "conv_op": f"torch.nn.Conv{num_axes}d",
            "strides": [1, 2, 2],
            "head_dim": 4,
            "window_size": 4,
            "patch_size": [16] * num_axes,
            **FACTORIZER.variants[name],
        }
        class_name, imports = FACTORIZER.class_name, []
    return {"network_class_name": class_name, "arch_kwargs": kwargs | changes, "_kw_requires_import": imports}


def build(of: dict[str, Any], channels: int = 2, classes: int = 3) -> nn.Module:
    """With parameters that are all random: some start at 0 or 1 otherwise, and wrong ones would not show."""
    network = get_network_from_plans(*of.values(), channels, classes, deep_supervision=True)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return network


def checkpoint(network: nn.Module, of: dict[str, Any] | None, trainer: str = "nnUNetTrainerOfTest") -> dict[str, Any]:
    """What a trainer saves, as far as loading reads it; without a record where `of` is None."""
    init_args: dict[str, Any] = {"plans": {"dataset_name": "Dataset997_Small"}, "configuration": "3d_fullres"}
    if of is not None:
        init_args[RECORD_KEY] = make_record(of)
    return {"network_weights": network.state_dict(), "trainer_name": trainer, "init_args": init_args}
