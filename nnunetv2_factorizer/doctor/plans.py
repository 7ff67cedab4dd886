"""Whether the networks of a plans file can be built, and fit its patches."""

import shlex
from math import prod
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from nnunetv2_factorizer.doctor.finding import Finding, from_error
from nnunetv2_factorizer.doctor.names import unknown_name
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.families import family_of
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.training import FactorizerTrainer


def examine(path: Path) -> list[Finding]:
    """A finding a configuration; `dataset.json` must lie beside the plans, as in nnU-Net's own folders."""
    try:
        plans, dataset_json = read_object(path), read_object(path.parent / "dataset.json")
    except (OSError, UserError) as error:
        return [from_error("plans", error)]
    missing = [key for key in ("dataset_name", "plans_name", "configurations") if key not in plans]
    if missing:
        return [Finding("plans", "error", f"{path} lacks {', '.join(missing)}", "Give a plans file of nnU-Net.")]
    findings = [_dataset(path, plans)]
    manager = PlansManager(plans)
    for name in manager.available_configurations:
        try:
            findings.append(_configuration(f"plans {name}", manager, name, dataset_json))
        except Exception as error:  # A plans file can be wrong in any way.
            cause = f"{type(error).__name__}: {error}".replace("\n", " ")
            remedy = f"Mend configuration {name} in {path}, or plan again."
            findings.append(Finding(f"plans {name}", "error", cause, remedy))
    return findings


def read_object(path: Path) -> dict[str, Any]:
    """The content of a JSON file of nnU-Net's.

    Raises:
        UserError: it is none.
    """
    try:
        content = read_json(path)
    except ValueError as error:
        raise UserError(f"{path} is no JSON file ({error})", "Take another copy of it, or plan again.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}", "Give plans or a data set of nnU-Net.")
    return content


def build(
    trainer: type[nnUNetTrainer], manager: PlansManager, name: str, dataset_json: dict[str, Any]
) -> tuple[nn.Module, ConfigurationManager]:
    """The network that `trainer` predicts with, without memory for its weights, and its configuration."""
    configuration = manager.get_configuration(name)
    channels = determine_num_input_channels(manager, configuration, dataset_json)
    heads = manager.get_label_manager(dataset_json).num_segmentation_heads
    with torch.device("meta"):
        network = trainer.build_network_architecture(
            manager, configuration, channels, heads, enable_deep_supervision=False
        )
    return network, configuration


def _dataset(path: Path, plans: dict[str, Any]) -> Finding:
    name, folder = plans["dataset_name"], path.resolve().parent.name
    if folder.startswith("Dataset") and folder != name:
        command = shlex.join(["nnUNetv2_move_plans_between_datasets", "-s", str(name), "-t", folder])
        remedy = f"Plan {folder} itself, or: {command} ..."
        return Finding("plans", "error", f"are of {name}, in the folder of {folder}", remedy)
    return Finding("plans", "ok", f"{plans['plans_name']} of {name}")


def _configuration(title: str, manager: PlansManager, name: str, dataset_json: dict[str, Any]) -> Finding:
    configuration = manager.get_configuration(name)
    unknown = unknown_name(configuration)
    if unknown:
        what = f"not built: it names {unknown}, which the doctor does not import"
        return Finding(title, "warning", what, "Train with these plans only if you trust whoever made them.")
    # With any other network it is our trainers that build a Factorizer for it.
    named = family_of(configuration.network_arch_class_name) is not None
    network, _ = build(nnUNetTrainer if named else FactorizerTrainer, manager, name, dataset_json)
    patch, strides = list(configuration.patch_size), configuration.pool_op_kernel_sizes
    total = [prod(stage[axis] for stage in strides) for axis in range(len(patch))]
    if any(p % t for p, t in zip(patch, total, strict=True)):
        what = f"patch_size must be divisible by the product of the strides, {total}, got {patch}"
        return Finding(title, "error", what, f"Change patch_size of configuration {name}, or plan again.")
    own_patch = configuration.network_arch_init_kwargs.get("patch_size", patch)
    if named and list(own_patch) != patch:
        what = f"patch_size is {patch} for the data and {list(own_patch)} for the network"
        return Finding(title, "error", what, f"Set both patch_size of configuration {name} to the same.")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    size = " x ".join(map(str, patch))
    return Finding(title, "ok", f"{parameters:,} parameters, patch {size}, batch size {configuration.batch_size}")
