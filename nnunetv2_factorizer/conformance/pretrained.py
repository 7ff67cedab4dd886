"""Whether a checkpoint of a pre-training is what nnU-Net's two loaders of pre-trained weights want.

That of nnU-Net 2.8 is called. That of its development branch is not installed: what it does is done here, by the keys
that it reads.
"""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import Tensor, nn

from nnunetv2_factorizer.conformance.subject import CheckFailed, require

PLAN = "nnssl_adaptation_plan"
KEYS = ("network_weights", "init_args", "trainer_name", "current_epoch", PLAN)
KEYS_OF_PLAN = (
    *("architecture_plans", "pretrain_plan", "pretrain_num_input_channels", "recommended_downstream_patchsize"),
    *("key_to_encoder", "key_to_stem", "keys_to_in_proj", "key_to_lpe"),
)
OTHER_CLASSES = 7
"""Of the network to load into: more than anybody's labels have in common."""


def check_pretrained(path: Path) -> None:
    """Checks a checkpoint: both loaders take it into a network for other classes, and fill all but its heads.

    Args:
        path: of the checkpoint; `adaptation_plan.json` lies beside it.

    Raises:
        CheckFailed: they do not; the message says why.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Damaged files end in all sorts of exceptions.
        first_line = str(error).strip().partition("\n")[0]
        raise CheckFailed(f"{path} cannot be read with weights_only=True, plain values only: {first_line}") from error
    missing = [key for key in KEYS if key not in checkpoint]
    require(not missing, f"{path} lacks {', '.join(missing)}.")
    plan = checkpoint[PLAN]
    missing = [key for key in KEYS_OF_PLAN if key not in plan]
    require(not missing, f"{PLAN} lacks {', '.join(missing)}.")
    beside = path.parent / "adaptation_plan.json"
    require(
        beside.is_file() and json.loads(beside.read_text(encoding="utf-8")) == plan,
        f"{beside} is missing or is not the {PLAN} of the checkpoint.",
    )
    _stock(path, _network(plan), checkpoint["network_weights"])
    _development_branch(_network(plan), plan, checkpoint["network_weights"])


def _network(plan: dict[str, Any]) -> nn.Module:
    """New, by the architecture that the plan describes."""
    architecture = plan["architecture_plans"]
    network: nn.Module = get_network_from_plans(
        architecture["arch_class_name"],
        architecture["arch_kwargs"],
        architecture["arch_kwargs_requiring_import"],
        plan["pretrain_num_input_channels"],
        OTHER_CLASSES,
        deep_supervision=True,
    )
    return network


def _stock(path: Path, network: nn.Module, weights: dict[str, Tensor]) -> None:
    """`-pretrained_weights` of nnU-Net 2.8."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            load_pretrained_weights(network, path)
    except AssertionError as error:
        raise CheckFailed(f"-pretrained_weights refuses it: {str(error).partition(' Pretrained model:')[0]}") from error
    wrong = [n for n, t in network.state_dict().items() if ".seg_layers." not in n and not torch.equal(t, weights[n])]
    require(not wrong, f"-pretrained_weights leaves out {', '.join(wrong[:3])}.")
    require(any(".seg_layers." in name for name in weights), "network_weights hold no decoder.seg_layers.")


def _development_branch(network: nn.Module, plan: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Encoder and stem, strictly, and the position embedding by its name."""
    configurations = plan["pretrain_plan"]["configurations"]
    require(
        any("patch_size" in configuration for configuration in configurations.values()),
        f"no configuration of {PLAN}.pretrain_plan has a patch_size.",
    )
    for key in ("key_to_encoder", "key_to_stem"):
        prefix = f"{plan[key]}."
        part = {name.removeprefix(prefix): t for name, t in weights.items() if name.startswith(prefix)}
        again = [name for name in part if plan[key] in name]
        require(not again, f"{key} {plan[key]!r} occurs twice in {prefix}{again[:1]}: both would be cut off.")
        try:
            network.get_submodule(plan[key]).load_state_dict(part, strict=True)
        except (AttributeError, RuntimeError) as error:
            raise CheckFailed(f"{key} {plan[key]!r}: {' '.join(str(error).split())}") from error
    for name in plan["keys_to_in_proj"]:
        require(f"{name}.weight" in weights, f"keys_to_in_proj names {name!r}, of which there is no weight.")
    if plan["key_to_lpe"] is not None:
        try:
            network.get_parameter(plan["key_to_lpe"])
        except AttributeError as error:
            raise CheckFailed(f"key_to_lpe {plan['key_to_lpe']!r} is no parameter: {error}") from error
