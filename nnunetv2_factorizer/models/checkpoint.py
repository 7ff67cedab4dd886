"""What a checkpoint holds: read without running any of it, and compared with the network it is to be loaded into."""

import inspect
import re
import shlex
from collections.abc import Collection
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from packaging.version import Version
from torch import nn

from nnunetv2_factorizer import DISTRIBUTION
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.installation import installed_from

RECORD_KEY = "nnunetv2_factorizer"
"""The key of what we add to nnU-Net's `init_args`: the version of this package and the network's arguments."""

MAKE_SCALAR = np.float64(0).__reduce__()[0]
MAKE_ARRAY = np.empty(0).__reduce__()[0]
"""Functions of numpy's, whose module is another one since numpy 2."""


def _plain_dict(_default: Any = None) -> dict[Any, Any]:
    """In place of `collections.defaultdict`, which `weights_only=True` does not fill."""
    return {}


PLAIN_TYPES: list[Any] = [
    *((MAKE_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((MAKE_ARRAY, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    np.ndarray,
    np.dtype,
    *(dtype for dtype in vars(np.dtypes).values() if isinstance(dtype, type)),
    (_plain_dict, "collections.defaultdict"),
    *(dict, list, int, float, bool, str),
]
"""What logs hold on top of the types that PyTorch allows: numbers and arrays of numpy, dictionaries with a default.

More are allowed by `torch.serialization.add_safe_globals([MyType])`, before the checkpoint is read.
"""

NOT_OF_THE_WEIGHTS = ("recompute", "dropout", "deep_supervision")
"""Arguments that may differ between a training and its continuation."""

TO_CONTINUE = (
    "Move it away; --c then continues from checkpoint_latest.pth or checkpoint_best.pth where there is one, and makes "
    "the checkpoint_final.pth that --val needs."
)
"""What to do about a damaged checkpoint of one's own training."""

KEYS = ("network_weights", "init_args", "trainer_name")


def make_record(architecture: dict[str, Any]) -> dict[str, Any]:
    """What to store of the software in a checkpoint; `architecture` as in a configuration of the plans."""
    return {"version": version(DISTRIBUTION), "architecture": architecture}


def read_checkpoint(path: str, remedy: str = TO_CONTINUE) -> dict[str, Any]:
    """Reads a checkpoint of an nnU-Net trainer onto the CPU, by `weights_only=True`.

    Args:
        path: of the file.
        remedy: where the file is damaged, what to do about it.

    Raises:
        UserError: the file is damaged, is no checkpoint of nnU-Net, or holds other types than weights need.
    """
    with torch.serialization.safe_globals(PLAIN_TYPES):
        try:
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:  # Damaged files end in all sorts of exceptions.
            if problem := _sound_but_refused(path, error):
                raise UserError(
                    f"{path} {problem}, and was not loaded.",
                    "See what it holds, without running any of it: "
                    f"nnUNetv2_factorizer_doctor --checkpoint {shlex.quote(path)}\n"
                    "A harmless type of your own trainer is allowed there, by torch.serialization.add_safe_globals.",
                ) from None
            reason = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
            raise UserError(f"{path} is truncated, damaged or no checkpoint ({reason}).", remedy) from None
    missing = [key for key in KEYS if not isinstance(checkpoint, dict) or key not in checkpoint]
    if missing:
        raise UserError(
            f"{path} is no checkpoint of an nnU-Net training: it lacks {', '.join(missing)}.",
            "Give a checkpoint_final.pth, checkpoint_best.pth or checkpoint_latest.pth from a fold's folder.",
        )
    return checkpoint


def _sound_but_refused(path: str, error: Exception) -> str:
    """What in a sound file `weights_only=True` does not read; empty where the file is damaged."""
    try:
        forbidden = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # It knows PyTorch's zip format alone; of others the error names the first.
        forbidden = re.findall(r"GLOBAL (\S+)", str(error))[:1]
    if forbidden:
        return f"asks for {', '.join(sorted(forbidden))}, which no weights need"
    detail = re.search(r"WeightsUnpickler error:\s*(\S.*)", str(error))
    return f"cannot be read without running what is in it ({detail[1].rstrip('.')})" if detail else ""


def check_version(checkpoint: dict[str, Any], path: str) -> None:
    """Checks that a checkpoint was not made by a version of this package newer than the one installed.

    Raises:
        UserError: it was.
    """
    installed = version(DISTRIBUTION)
    made_by = checkpoint["init_args"].get(RECORD_KEY, {}).get("version", installed)
    if Version(made_by) > Version(installed):
        raise UserError(
            f"{path} was made by {DISTRIBUTION} {made_by}, newer than the {installed} installed here.",
            f"Install that version in place of {installed_from()}.",
        )


def check_fit(checkpoint: dict[str, Any], path: str, network: nn.Module, architecture: dict[str, Any]) -> None:
    """Checks that a checkpoint can be loaded into a network, and means the same there.

    Args:
        checkpoint: as `read_checkpoint` gives it.
        path: of the file, for the message.
        network: the bare network, not compiled and not data-parallel.
        architecture: class and arguments of the network, as in a configuration of the plans.

    Raises:
        UserError: it was made for another network.
    """
    there = checkpoint["init_args"].get(RECORD_KEY, {}).get("architecture")
    difference = different_argument(there, architecture, type(network))
    difference = difference or different_weight(checkpoint["network_weights"], network.state_dict())
    if difference:
        raise UserError(
            f"{path} ({made_by(checkpoint)}) does not fit this network: {difference}.",
            "Use it with the trainer, the data set and the plans it was made with, or train anew in another folder.",
        )


def made_by(checkpoint: dict[str, Any]) -> str:
    """Such as `made by nnUNetTrainer for Dataset004_Hippocampus, 3d_fullres`."""
    arguments = checkpoint["init_args"]
    dataset, configuration = arguments["plans"]["dataset_name"], arguments["configuration"]
    return f"made by {checkpoint['trainer_name']} for {dataset}, {configuration}"


def different_argument(
    there: dict[str, Any] | None,
    here: dict[str, Any],
    network_class: type,
    may_differ: Collection[str] = NOT_OF_THE_WEIGHTS,
) -> str:
    """The first argument of the network that differs; two variants may well have weights of the same shape."""
    if there is None:  # A trainer that keeps no record, such as nnU-Net's own.
        return ""
    if there["network_class_name"] != here["network_class_name"]:
        return f"it is of {there['network_class_name']}, this is {here['network_class_name']}"
    parameters = inspect.signature(network_class).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    old, new = defaults | there["arch_kwargs"], defaults | here["arch_kwargs"]
    for name in sorted(old.keys() | new.keys()):
        if name not in may_differ and _shortest(old.get(name)) != _shortest(new.get(name)):
            return f"{name} is {old.get(name)!r} there, {new.get(name)!r} here"
    return ""


def _shortest(value: Any) -> Any:
    """The shortest of the spellings that mean the same: one value in place of as many for the stages or the axes."""
    if isinstance(value, str) and value.startswith("torch.nn."):
        return value.rpartition(".")[2]  # torch.nn.Conv3d is torch.nn.modules.conv.Conv3d
    if not isinstance(value, (list, tuple)):
        return value
    entries = [_shortest(entry) for entry in value]
    # A list in a list is per axis; without the outer one, it would be per stage.
    repeated = entries and not isinstance(entries[0], list) and all(entry == entries[0] for entry in entries)
    return entries[0] if repeated else entries


def different_weight(there: dict[str, Any], here: dict[str, Any]) -> str:
    """The first weight that only one has, or that has another shape."""
    there = {name.removeprefix("module."): weight for name, weight in there.items()}
    for name, weight in here.items():
        if name not in there:
            return f"{name} is missing there"
        if there[name].shape != weight.shape:
            return f"{name} is of shape {tuple(there[name].shape)} there, {tuple(weight.shape)} here"
    unknown = [name for name in there if name not in here]
    return f"{unknown[0]} is unknown here" if unknown else ""
