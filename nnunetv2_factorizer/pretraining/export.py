"""What a pre-training leaves for fine-tuning: one checkpoint that nnU-Net's loaders of pre-trained weights take.

`-pretrained_weights` of nnU-Net 2.8 reads `network_weights`. nnU-Net's development branch reads `nnssl_adaptation_plan`
as well, whose keys are those of nnssl (https://github.com/MIC-DKFZ/nnssl); it allows nothing but plain values.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_factorizer.models.adapt import adapt_weights
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.folders import PRETRAINED

ADAPTATION_FILE = "adaptation_plan.json"
"""Beside the checkpoint, where downloads of nnU-Net's development branch look for it."""

ADAPTATION_KEY = "nnssl_adaptation_plan"

OF_THE_CONFIGURATION = ("patch_size", "spacing", "normalization_schemes", "batch_size", "data_identifier")
"""What the development branch may read of the plans of the pre-training."""


def fine_tuning_weights(body: nn.Module, layout: nn.Module) -> dict[str, Tensor]:
    """A complete state dict for fine-tuning: all of the pre-trained body but its heads, and the heads of `layout`.

    Args:
        body: the network that was pre-trained, bare; of another number of image channels, it is adapted.
        layout: the same network, new, for the channels and classes of the data set.
    """
    merged = adapt_weights(body.state_dict(), body, layout)
    return {name: merged[name].detach().cpu().clone() for name in layout.state_dict()}


def adaptation_plan(
    network: nn.Module,
    architecture: dict[str, Any],
    configuration_name: str,
    configuration: dict[str, Any],
    input_channels: int,
) -> dict[str, Any]:
    """What stands under `nnssl_adaptation_plan`, in plain values.

    Args:
        network: for fine-tuning; it says by which keys its parts are found.
        architecture: class and arguments, as in a configuration of the plans.
        configuration_name: such as `3d_fullres`.
        configuration: of the plans.
        input_channels: of the images.
    """
    position_embedding = getattr(network, "key_to_lpe", None)
    plan = {
        "architecture_plans": {
            "arch_class_name": architecture["network_class_name"],
            "arch_kwargs": architecture["arch_kwargs"],
            "arch_kwargs_requiring_import": architecture["_kw_requires_import"],
        },
        "pretrain_plan": {
            "configurations": {
                configuration_name: {key: configuration[key] for key in OF_THE_CONFIGURATION if key in configuration}
            }
        },
        "pretrain_num_input_channels": input_channels,
        "recommended_downstream_patchsize": configuration["patch_size"],
        "key_to_encoder": network.key_to_encoder,
        "key_to_stem": network.key_to_stem,
        "keys_to_in_proj": list(network.keys_to_in_proj),  # type: ignore[arg-type]
        "key_to_lpe": position_embedding,
    }
    plain: dict[str, Any] = json.loads(json.dumps(plan))
    return plain


def write_pretrained(folder: Path, checkpoint: dict[str, Any]) -> None:
    """Writes the checkpoint and its adaptation plan into the folder of a fold, each whole or not at all."""
    with replacing(str(folder / ADAPTATION_FILE)) as unfinished:
        Path(unfinished).write_text(json.dumps(checkpoint[ADAPTATION_KEY], indent=4), encoding="utf-8")
    with replacing(str(folder / PRETRAINED)) as unfinished:
        torch.save(checkpoint, unfinished)
