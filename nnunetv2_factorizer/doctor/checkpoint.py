"""What a checkpoint holds, without running any of it, and whether its weights fit the plans beside it."""

from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.doctor.finding import Finding, from_error
from nnunetv2_factorizer.doctor.names import unknown_name
from nnunetv2_factorizer.doctor.pickles import EXPECTED, listed_globals
from nnunetv2_factorizer.doctor.plans import build, read_object
from nnunetv2_factorizer.doctor.trainers import find_trainer
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.checkpoint import RECORD_KEY, check_version, different_weight, read_checkpoint

DO_NOT_LOAD = "Do not give this file to nnU-Net, which would run it, unless you trust whoever made it."


def examine(path: Path, plans: Path | None) -> list[Finding]:
    """Findings on the file; its plans are `plans`, or `plans.json` where nnU-Net keeps it, in the folder above."""
    try:
        names = listed_globals(path)
    except (OSError, UserError) as error:
        return [from_error("checkpoint globals", error)]
    unexpected = [name for name in names if name not in EXPECTED]
    try:
        checkpoint = read_checkpoint(str(path))
    except UserError as error:
        if unexpected:
            what = f"loading it would call {', '.join(unexpected)}"
            return [Finding("checkpoint globals", "error", what, DO_NOT_LOAD)]
        return [from_error("checkpoint", error)]
    findings = [
        Finding("checkpoint globals", "ok", ", ".join(names)),
        _content(checkpoint, path),
        _finite(checkpoint["network_weights"]),
    ]
    return [*findings, _fit(checkpoint, plans or path.resolve().parent.parent / "plans.json")]


def _content(checkpoint: dict[str, Any], path: Path) -> Finding:
    try:
        check_version(checkpoint, str(path))
    except UserError as error:
        return from_error("checkpoint", error)
    arguments, weights = checkpoint["init_args"], checkpoint["network_weights"]
    plans = arguments.get("plans", {})
    made_by = arguments.get(RECORD_KEY, {}).get("version", "unknown")
    what = (
        f"{checkpoint['trainer_name']}, {plans.get('dataset_name')}, {plans.get('plans_name')}, "
        f"{arguments.get('configuration')}, fold {arguments.get('fold')}; "
        f"epoch {checkpoint.get('current_epoch')}; {sum(weight.numel() for weight in weights.values()):,} weights; "
        f"nnunetv2-factorizer {made_by}"
    )
    return Finding("checkpoint", "ok", what)


def _finite(weights: dict[str, Any]) -> Finding:
    bad = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if bad:
        what = f"{len(bad)} of {len(weights)} hold NaN or infinity, such as {bad[0]}"
        return Finding("checkpoint weights", "error", what, "Take an earlier checkpoint: this one predicts nothing.")
    return Finding("checkpoint weights", "ok", f"{len(weights)} tensors, all finite")


def _fit(checkpoint: dict[str, Any], plans: Path) -> Finding:
    title = "checkpoint and plans"
    try:
        manager, dataset_json = PlansManager(read_object(plans)), read_object(plans.parent / "dataset.json")
        configuration = checkpoint["init_args"]["configuration"]
        unknown = unknown_name(manager.get_configuration(configuration))
        if unknown:
            what = f"not compared: the plans name {unknown}, which would be run"
            return Finding(title, "warning", what, DO_NOT_LOAD)
        trainer = find_trainer(checkpoint["trainer_name"])
        network, _ = build(trainer, manager, configuration, dataset_json)
    except FileNotFoundError as error:
        remedy = "Put the checkpoint back into its folder fold_X of nnUNet_results, or give --plans FILE."
        return Finding(title, "warning", f"not compared: {error.filename} does not exist", remedy)
    except Exception as error:  # Of nnU-Net's search, or of plans that are wrong in any way.
        cause = f"{type(error).__name__}: {error}".replace("\n", " ")
        return Finding(title, "error", cause, "Mend the other errors first, then the plans.")
    difference = different_weight(checkpoint["network_weights"], network.state_dict())
    if difference:
        remedy = "Use the plans, the data set and the trainer that it was made with."
        return Finding(title, "error", f"the weights do not fit {plans}: {difference}", remedy)
    return Finding(title, "ok", f"the weights fit {plans}")
