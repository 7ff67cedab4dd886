"""The part of a checkpoint that fits a network: loaded as it is, adapted, or left random, tensor by tensor."""

import re
from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor, nn

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.adapt import HEADS, adapt_tensor
from nnunetv2_factorizer.models.checkpoint import (
    NOT_OF_THE_WEIGHTS,
    RECORD_KEY,
    check_version,
    different_argument,
    made_by,
)
from nnunetv2_factorizer.models.standalone import STOCK_TRAINER
from nnunetv2_factorizer.network import Factorizer

LOADED, ADAPTED, RANDOM = FATES = ("loaded", "adapted", "random")
"""What may become of a tensor."""

WRAPPERS = ("module.", "_orig_mod.", "body.")
"""Of data-parallel and compiled networks, and of one that is being pre-trained, beside the heads of its task."""

SIZES = (
    *("n_stages", "features_per_stage", "strides", "kernel_sizes", "patch_size", "window_size", "position_grid"),
    *("n_blocks_per_stage", "n_blocks_per_stage_decoder", "n_conv_per_stage", "n_conv_per_stage_decoder", "mlp_ratio"),
)
"""Arguments of networks that may differ: what the weights mean stays, or they have another name or shape."""

MAY_DIFFER = (*NOT_OF_THE_WEIGHTS, *SIZES)

ENOUGH = 0.5
"""Share of the parameters, of the encoder and of all but the heads, below which nothing is loaded."""

REMEDY = (
    "Fine-tune with the trainer and plans of that network, or pre-train this one: the family, its variant and its "
    "widths must be the same; image channels, classes, patch size, windows and kernel sizes may differ."
)
NAMED_AT_MOST = 8
"""Lines of the table that name single tensors, adapted or random."""


@dataclass(frozen=True)
class Row:
    """What became of one tensor of the network, a parameter or a buffer that is saved."""

    name: str
    """The first of its names: nnU-Net's U-Nets hold theirs under several."""
    fate: str
    """One of `FATES`."""
    reason: str
    """Why it was not loaded as it is; empty where it was."""
    parameters: int
    """Numbers in it that are trained: 0 for a buffer."""

    @property
    def of_head(self) -> bool:
        """Whether it belongs to a layer that gives the logits."""
        return HEADS in self.name


def load_partially(
    network: nn.Module, checkpoint: dict[str, Any], path: str, architecture: dict[str, Any], heads: bool = False
) -> list[Row]:
    """Loads what fits, says what became of each tensor; where it raises, the network is as before.

    Stages of a decoder are counted from the highest resolution, so that a network may be deeper or shallower.

    Args:
        network: the bare network, not compiled and not data-parallel, on any device.
        checkpoint: as `models.checkpoint.read_checkpoint` gives it.
        path: of the file, for messages.
        architecture: class and arguments of the network, as in a configuration of the plans.
        heads: whether they mean the same in both, and are loaded, too; otherwise they stay as they are.

    Raises:
        UserError: it is of another family or variant, or too little of it fits.
    """
    check_version(checkpoint, path)
    there = architecture_of(checkpoint)
    if difference := different_argument(there, architecture, type(network), MAY_DIFFER):
        raise UserError(f"{path} ({made_by(checkpoint)}) is of another network: {difference}.", REMEDY)
    weights = _counted_from_above(_unwrapped(checkpoint["network_weights"]), network)
    source = _source(there, network)
    rows, values = [], []
    for names, tensor in _tensors(network):
        there_as = next((name for name in names if name in weights), names[0])
        if HEADS in names[0] and not heads:
            value, fate, reason = None, RANDOM, "a head"
        else:
            value, fate, reason = _value(there_as, tensor, weights, source, network)
        rows.append(Row(names[0], fate, reason, tensor.numel() if isinstance(tensor, nn.Parameter) else 0))
        values.append((tensor, value))
    _check_enough(rows, f"{path} ({made_by(checkpoint)})")
    with torch.no_grad():
        for tensor, value in values:
            if value is not None:
                tensor.copy_(value)
    return rows


def architecture_of(checkpoint: dict[str, Any]) -> dict[str, Any] | None:
    """The network of a checkpoint by our record, or by the plans where nnU-Net's own trainer built it; else None."""
    arguments = checkpoint["init_args"]
    if RECORD_KEY in arguments:
        recorded: dict[str, Any] = arguments[RECORD_KEY]["architecture"]
        return recorded
    if checkpoint["trainer_name"] != STOCK_TRAINER:
        return None
    configuration = PlansManager(deepcopy(arguments["plans"])).get_configuration(arguments["configuration"])
    return {
        "network_class_name": configuration.network_arch_class_name,
        "arch_kwargs": configuration.network_arch_init_kwargs,
    }


def format_rows(rows: list[Row]) -> str:
    """A table with a line a stage: how many tensors were loaded, adapted and left random, and their parameters."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups["heads" if row.of_head else _stage(row.name)].append(row)
    groups["together"] = rows
    cells = [["tensors (parameters)", *FATES]]
    cells += [[name, *(_count(group, fate) for fate in FATES)] for name, group in groups.items()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    named = [f"{row.fate}: {row.name}, {row.reason}" for row in rows if row.fate != LOADED and not row.of_head]
    if len(named) > NAMED_AT_MOST:
        named[NAMED_AT_MOST:] = [f"... and {len(named) - NAMED_AT_MOST} more"]
    return "\n".join([*lines, *named])


def _value(
    name: str, tensor: Tensor, weights: Mapping[str, Tensor], source: nn.Module | None, network: nn.Module
) -> tuple[Tensor | None, str, str]:
    """What to copy into a tensor, its fate and the reason."""
    if name not in weights:
        return None, RANDOM, "not in the file"
    weight = weights[name]
    if weight.shape == tensor.shape:
        return weight, LOADED, ""
    shapes = f"{tuple(weight.shape)} in the file, {tuple(tensor.shape)} here"
    adapted = adapt_tensor(name, weight, source, network)
    return (adapted, ADAPTED, shapes) if adapted.shape == tensor.shape else (None, RANDOM, shapes)


def _tensors(network: nn.Module) -> list[tuple[list[str], Tensor]]:
    """Each parameter and each saved buffer once, with all its names."""
    found: dict[int, tuple[list[str], Tensor]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        found.setdefault(id(tensor), ([], tensor))[0].append(name)
    return list(found.values())


def _unwrapped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefixes of `WRAPPERS`."""
    unwrapped = dict(weights)
    for prefix in WRAPPERS:
        unwrapped = {name.removeprefix(prefix): weight for name, weight in unwrapped.items()}
    return unwrapped


STAGE_OF_DECODER = re.compile(r"(decoder\.(?!encoder\.)\w+\.)(\d+)(\..*)")


def _counted_from_above(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Renames the stages of a decoder of another depth: nnU-Net's and ours count from the lowest resolution."""
    further = _decoder_stages(network.state_dict()) - _decoder_stages(weights)

    def renamed(name: str) -> str:
        match = STAGE_OF_DECODER.fullmatch(name)
        return f"{match[1]}{int(match[2]) + further}{match[3]}" if match else name

    return {renamed(name): weight for name, weight in weights.items()}


def _decoder_stages(weights: Mapping[str, Tensor]) -> int:
    """How many stages the decoder has, by the names of its weights."""
    matches = [match for name in weights if (match := STAGE_OF_DECODER.fullmatch(name))]
    return max((int(match[2]) + 1 for match in matches), default=0)


def _source(architecture: dict[str, Any] | None, network: nn.Module) -> nn.Module | None:
    """The Factorizer of the checkpoint, without memory for its weights: it knows the sizes of its stages."""
    if architecture is None or not isinstance(network, Factorizer):
        return None
    with torch.device("meta"):
        return Factorizer(1, 1, **architecture["arch_kwargs"])


def _check_enough(rows: list[Row], checkpoint: str) -> None:
    body = [row for row in rows if not row.of_head]
    for part, of_part in (("encoder", [row for row in body if row.name.startswith("encoder.")]), ("network", body)):
        number = sum(row.parameters for row in of_part)
        fitting = sum(row.parameters for row in of_part if row.fate != RANDOM)
        if fitting < ENOUGH * number:
            first = next(row for row in of_part if row.fate == RANDOM and row.parameters)
            raise UserError(
                f"{checkpoint} fits {fitting / number:.0%} of the parameters of this {part}, less than {ENOUGH:.0%}; "
                f"the first that does not is {first.name} ({first.reason}).",
                REMEDY,
            )


def _stage(name: str) -> str:
    """What stands in a name up to the first number, `decoder.stages.2` for example."""
    parts = name.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), len(parts) - 2)
    return ".".join(parts[: number + 1])


def _count(rows: list[Row], fate: str) -> str:
    chosen = [row for row in rows if row.fate == fate]
    return f"{len(chosen)} ({sum(row.parameters for row in chosen):,})" if chosen else "-"
