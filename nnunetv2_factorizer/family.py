"""What a network family is: a network class and how its arguments follow from a plan of nnU-Net."""

import pydoc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from torch import nn

from nnunetv2_factorizer.errors import UserError

if TYPE_CHECKING:  # the networks and their variants are known without nnU-Net, too
    from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

UNET_READS = (
    *("n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides", "n_conv_per_stage_decoder", "conv_bias"),
    *("norm_op", "norm_op_kwargs", "dropout_op", "dropout_op_kwargs", "nonlin", "nonlin_kwargs"),
)
"""What nnU-Net's plans say of any of its U-Nets, and `n_conv_per_stage` or `n_blocks_per_stage` for one of them."""

UNET_IMPORTS = ("conv_op", "norm_op", "dropout_op", "nonlin")
"""Those that plans hold as dotted names, which nnU-Net resolves before it calls the constructor."""

FromPlan = Callable[[Sequence[float], Sequence[int], Sequence[Sequence[int]]], Mapping[str, Any]]
"""Arguments of a network from the spacing in mm, the patch in voxels and the strides of each stage."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A network class that plans can name: `(input_channels, num_classes, **arch_kwargs, deep_supervision)`."""

    class_name: str
    """The dotted path that plans name it by."""
    reads: tuple[str, ...]
    """Arguments that it takes over from the U-Net of a plan."""
    from_plan: FromPlan = lambda _spacing, _patch_size, _strides: {}
    """Further arguments that follow from a plan."""
    with_memory_left: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _arch_kwargs: {}
    """Further arguments, from those of a plan, by which the network takes more memory of a GPU and less time."""
    takes_patch_size: bool = False
    """Whether `patch_size` is one of its arguments."""
    kw_requires_import: tuple[str, ...] = ()
    """Those of its arguments that nnU-Net shall resolve from dotted names, such as `UNET_IMPORTS`."""
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name to the arguments that make it. A variant is tested (`tests/conformance`) by standing here."""

    @property
    def network_class(self) -> type[nn.Module]:
        """The class itself."""
        located: Any = pydoc.locate(self.class_name)
        return located

    @property
    def defaults(self) -> dict[str, Any]:
        """The arguments of the class that may be left out, as they stand in JSON; those that cannot are not here."""
        parameters = signature(self.network_class).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not Parameter.empty}
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}
        plain = (str, int, float, list, dict, type(None))
        return {name: value for name, value in lists.items() if isinstance(value, plain)}

    def names(self, class_name: str) -> bool:
        """Whether a dotted path in a plan leads to this class, by whatever module."""
        return class_name == self.class_name or pydoc.locate(class_name) is self.network_class

    def arch_kwargs(
        self,
        class_name: str,
        arch_kwargs: Mapping[str, Any],
        patch_size: Sequence[int],
        spacing: Sequence[float],
        choices: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The arguments for a configuration of any plan.

        Args:
            class_name: dotted path of the network that the plan names. Of this class all arguments are kept.
            arch_kwargs: its arguments there.
            patch_size: in voxels.
            spacing: in mm.
            choices: arguments that the plan does not decide, such as those of a variant.

        Raises:
            UserError: the plan's network does not say what this one needs to know.
        """
        if self.names(class_name):
            return {**arch_kwargs, **choices}
        missing = [key for key in self.reads if key not in arch_kwargs]
        if missing:
            raise UserError(
                f"the plans name the network {class_name}, whose arguments lack {', '.join(missing)}.",
                f"A {self.class_name.rpartition('.')[2]} can take over plans of a U-Net, such as nnUNetPlans or "
                "nnUNetResEncUNetMPlans (-p).",
            )
        kwargs = {key: arch_kwargs[key] for key in self.reads}
        if self.takes_patch_size:
            kwargs["patch_size"] = [int(p) for p in patch_size]
        return {**kwargs, **self.from_plan(spacing, patch_size, arch_kwargs["strides"]), **choices}

    def architecture(self, configuration: "ConfigurationManager", choices: Mapping[str, Any]) -> dict[str, Any]:
        """What stands under `architecture` in a configuration of plans that name this network; see `arch_kwargs`."""
        kwargs = self.arch_kwargs(
            configuration.network_arch_class_name,
            configuration.network_arch_init_kwargs,
            configuration.patch_size,
            configuration.spacing,
            choices,
        )
        return as_architecture(self, kwargs)


def as_architecture(family: Family, arch_kwargs: dict[str, Any]) -> dict[str, Any]:
    """The three entries that nnU-Net's plans have of a network."""
    return {
        "network_class_name": family.class_name,
        "arch_kwargs": arch_kwargs,
        "_kw_requires_import": list(family.kw_requires_import),
    }
