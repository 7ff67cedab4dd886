"""From the network of a plan to a Factorizer of the same shape."""

import pydoc
from collections.abc import Sequence
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_factorizer.network import Factorizer

CLASS_NAME = f"{Factorizer.__module__.rpartition('.')[0]}.{Factorizer.__name__}"
"""The dotted path that plans name the network by."""

SHARED_KEYS = ("n_stages", "features_per_stage", "conv_op", "strides")
"""Arguments that the U-Nets of nnU-Net and the Factorizer have in common."""


def factorizer_kwargs(
    class_name: str, arch_kwargs: dict[str, Any], patch_size: Sequence[int], **choices: Any
) -> dict[str, Any]:
    """The arguments of a Factorizer with the stages, widths and strides of any network in a plan.

    Args:
        class_name: dotted path of the network in the plan. Of a Factorizer all arguments are kept.
        arch_kwargs: its arguments in the plan.
        patch_size: of the configuration, in voxels.
        **choices: arguments of `Factorizer` that the plan shall not decide, such as `matricize="local"`.

    Raises:
        ValueError: the plan's network does not say what a U-shape needs to know.
    """
    if pydoc.locate(class_name) is Factorizer:
        return arch_kwargs | choices
    missing = [key for key in SHARED_KEYS if key not in arch_kwargs]
    if missing:
        raise ValueError(
            f"the plans name the network {class_name}, whose arguments lack {', '.join(missing)}. "
            "A Factorizer can take over plans of a U-Net, such as nnUNetPlans or nnUNetResEncUNetMPlans (-p)."
        )
    shared = {key: arch_kwargs[key] for key in SHARED_KEYS}
    return shared | {"patch_size": [int(p) for p in patch_size]} | choices


def build_factorizer(
    configuration: ConfigurationManager,
    num_input_channels: int,
    num_output_channels: int,
    deep_supervision: bool,
    **choices: Any,
) -> Factorizer:
    """The Factorizer for a configuration of any nnU-Net plans; `choices` as in `factorizer_kwargs`."""
    kwargs = factorizer_kwargs(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.patch_size,
        **choices,
    )
    return Factorizer(num_input_channels, num_output_channels, **kwargs | {"deep_supervision": deep_supervision})
