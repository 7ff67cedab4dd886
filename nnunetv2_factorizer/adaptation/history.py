"""What an optimiser in a checkpoint remembers of each parameter, by its name.

A checkpoint numbers parameters in the order of the groups of its optimiser, which names none. Within a group that is
the order of the file's own weights, whatever the order is in a network that is built today.
"""

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.checkpoint import made_by

State = dict[str, Any]
"""What an optimiser keeps for a parameter."""

REMEDY = (
    "Take the trainer whose recipe made the checkpoint (nnUNetTrainerSGD_AdaptOCTL for nnU-Net's own trainer, "
    "nnUNetTrainer_AdaptOCTL for Muon), or a method that needs no history: AdaptMMTL, AdaptAll."
)


def slots(group: dict[str, Any]) -> tuple[str, ...]:
    """What SGD, Adam or our Muon keep for each parameter of a group."""
    with_momentum = group.get("matrices", "momentum" in group)  # Muon has both kinds of group
    return ("momentum_buffer",) if with_momentum else ("step", "exp_avg", "exp_avg_sq")


def history_by_name(
    checkpoint: dict[str, Any], path: str, optimizer: Optimizer, names: Mapping[int, str]
) -> dict[str, State]:
    """For each parameter of an optimiser what that of the checkpoint remembers of it; empty where that is nothing.

    Args:
        checkpoint: of the source model.
        path: of the file, for messages.
        optimizer: of the training that begins.
        names: of its parameters, by their `id`.

    Raises:
        UserError: the checkpoint has no state, or that of another optimiser or network.
    """
    source = f"{path} ({made_by(checkpoint)})"
    saved = checkpoint.get("optimizer_state") or {}
    if not saved.get("state"):
        raise UserError(
            f"{source} has no optimizer state: it was exported, or made by a pre-training.",
            "Take the checkpoint_final.pth in the folder of results where the model was trained, or a method that "
            "needs no history: AdaptMMTL, AdaptAll.",
        )
    here = [[names[id(p)] for p in group["params"]] for group in optimizer.param_groups]
    there = [group["params"] for group in saved["param_groups"]]
    if list(map(len, here)) != list(map(len, there)):
        raise UserError(
            f"{source} has the history of {_numbers(there)} tensors, {type(optimizer).__name__} here moves "
            f"{_numbers(here)}: the recipe is another one, or the network.",
            REMEDY,
        )
    weights, history = checkpoint["network_weights"], {}
    for group, of_group, numbers in zip(optimizer.param_groups, here, there, strict=True):
        wanted = set(of_group)
        in_order = [name for name in weights if name in wanted]
        if len(in_order) != len(numbers):
            missing = sorted(wanted - set(in_order))
            raise UserError(f"{source} has no weights {missing[0]}: it is of another network.", REMEDY)
        for name, number in zip(in_order, numbers, strict=True):
            # SGD keeps None for a parameter that never had a gradient.
            state = {slot: value for slot, value in saved["state"].get(number, {}).items() if value is not None}
            _check(state, slots(group), name, weights[name].shape, source)
            history[name] = state
    return history


def _check(state: State, expected: tuple[str, ...], name: str, shape: Any, source: str) -> None:
    if state and state.keys() != set(expected):
        raise UserError(
            f"{source} remembers {', '.join(state)} of {name}, this optimiser would {', '.join(expected)}: the recipe "
            "is another one.",
            REMEDY,
        )
    if any(value.shape != shape for slot, value in state.items() if slot != "step"):
        raise UserError(f"{source} remembers other shapes than its weights have, such as of {name}.", REMEDY)


def _numbers(groups: list[Any]) -> str:
    return " + ".join(str(len(group)) for group in groups)
