"""A loss that turns non-finite: stop, and say where it comes from."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from nnunetv2_factorizer.errors import UserError

IMAGE_REMEDY = (
    "Mend these images or leave them out, then preprocess again; "
    "nnUNetv2_plan_and_preprocess --verify_dataset_integrity finds NaN in raw images."
)
TRAINING_REMEDY = (
    "No weights were changed by this step, and the checkpoints are as they were. Look at the images and labels of "
    "these cases; --c continues from the last checkpoint."
)


MOST_SKIPPED_STEPS = 10
"""Steps in a row that a GradScaler may skip; it does so now and then while it looks for its scale."""


class NonFiniteLossError(FloatingPointError):
    """Between the place where a loss is found not to be finite and the one that knows the batch."""

    def __init__(self, loss: float) -> None:
        super().__init__(f"the loss is {loss}")


def refuse_non_finite(_module: nn.Module, _inputs: Any, loss: Tensor) -> None:
    """A forward hook for the loss, which raises a `NonFiniteLossError` before anything is made of the value."""
    if not torch.isfinite(loss).all():
        raise NonFiniteLossError(loss.item())


def explain_non_finite(error: NonFiniteLossError, network: nn.Module, batch: dict[str, Any], when: str) -> UserError:
    """What to say of a loss that is not finite.

    Args:
        error: says which value it has.
        network: the bare network with the weights that made this loss; the batch goes through it again.
        batch: nnU-Net's, with `data` `(B, C, *S)` and the case names in `keys`.
        when: such as "epoch 3, iteration 17".
    """
    start = f"{error} in {when}"
    data, cases = batch["data"], batch["keys"]
    bad = [_bad_channels(name, image) for name, image in zip(cases, data, strict=True)]
    if any(bad):
        return UserError(f"{start}: images with NaN or infinite voxels: {', '.join(filter(None, bad))}.", IMAGE_REMEDY)
    start = f"{start} (cases {', '.join(map(str, cases))})"
    for name, parameter in network.named_parameters():
        if not torch.isfinite(parameter).all():
            return UserError(f"{start}: the weights {name} are not finite since an earlier step.", TRAINING_REMEDY)
    layer = first_non_finite_layer(network, data.to(next(network.parameters()).device))
    cause = f"the first layer that is not finite is {layer}" if layer else "every layer is finite, the loss is not"
    return UserError(f"{start}: {cause}.", TRAINING_REMEDY)


def first_non_finite_layer(network: nn.Module, data: Tensor) -> str | None:
    """Name and class of the first module whose output on `data` `(B, C, *S)` is not finite, the innermost that shows.

    The modules that a block calls by their parts (`mixer`, `mlp`) do not show; the block does.
    """
    found: list[str] = []

    def look(name: str, module: nn.Module, output: Any) -> None:
        tensors = output if isinstance(output, (list, tuple)) else [output]
        if not found and not all(torch.isfinite(t).all() for t in tensors if isinstance(t, Tensor)):
            found.append(f"{name} ({type(module).__name__})")

    handles = [
        module.register_forward_hook(lambda module, _inputs, output, name=name: look(name, module, output))
        for name, module in network.named_modules()
    ]
    was_training = network.training
    network.eval()  # a layer that waits for the other ranks of a data-parallel training would wait for ever
    try:
        # As nnU-Net's train_step: half precision on a GPU and nowhere else.
        with torch.no_grad(), torch.autocast("cuda") if data.is_cuda else nullcontext():
            network(data)
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _bad_channels(case: str, image: Tensor) -> str:
    """The case with those of its channels that are not finite, or an empty string."""
    channels = [str(i) for i, channel in enumerate(image) if not torch.isfinite(channel).all()]
    return f"{case} (channel {', '.join(channels)})" if channels else ""
