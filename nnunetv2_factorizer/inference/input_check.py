"""A look at what a network is about to predict: an image that it cannot use is an error, not a background."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_factorizer.errors import UserError


def check_inputs(network: nn.Module, num_input_channels: int) -> None:
    """Makes a network refuse such images `(B, C, *S)` in inference mode, in which nnU-Net predicts.

    It is a forward hook, which a compiled network does without. Twice is once.

    Args:
        network: not compiled.
        num_input_channels: C that it was trained on.

    Raises:
        UserError: later, by the network: the image has other channels, or NaN or infinite voxels.
    """
    hooks = network._forward_pre_hooks.values()
    if not any(getattr(hook, "func", None) is _check for hook in hooks):
        network.register_forward_pre_hook(partial(_check, num_input_channels))


def _check(num_input_channels: int, _network: nn.Module, inputs: tuple[Any, ...]) -> None:
    if torch.compiler.is_compiling() or not torch.is_inference_mode_enabled():
        return
    x: Tensor = inputs[0]
    if x.shape[1] != num_input_channels:
        raise UserError(
            f"the image has {x.shape[1]} channels, the model was trained on {num_input_channels}.",
            f"Give all of them, CASE_0000 to CASE_{num_input_channels - 1:04d}.",
        )
    if not x.isfinite().all():  # All its logits would be NaN, which nnU-Net writes as background.
        channels = [str(i) for i, channel in enumerate(x.unbind(1)) if not channel.isfinite().all()]
        raise UserError(
            f"the image has NaN or infinite voxels in channel {', '.join(channels)}.",
            "Mend it and predict again. The last files before it may be incomplete: delete them, then "
            "--continue_prediction does the rest.",
        )
