"""One network class in one configuration: how the checks get networks, images and expectations."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import Tensor, nn

from nnunetv2_factorizer.conformance.configurations import Configuration, planned_arch_kwargs
from nnunetv2_factorizer.families import UNET_IMPORTS

INPUT_CHANNELS = 2
NUM_CLASSES = 3

ArchKwargs = Mapping[str, Any] | Callable[[Configuration], Mapping[str, Any]]


class CheckFailed(Exception):  # noqa: N818
    """What was found, and what to do about it."""


def require(condition: bool, message: str) -> None:
    """Raises `CheckFailed` with the message unless the condition holds."""
    if not condition:
        raise CheckFailed(message)


@dataclass(frozen=True)
class Subject:
    """A network class in a configuration. `arch_kwargs` are laid over those that nnU-Net's planner would write."""

    network_class: type[nn.Module]
    configuration: Configuration
    arch_kwargs: ArchKwargs
    kw_requires_import: Sequence[str]

    @property
    def dotted_path(self) -> str:
        """How plans name the class."""
        return f"{self.network_class.__module__}.{self.network_class.__qualname__}"

    def at(self, patch_size: Sequence[int]) -> "Subject":
        """The same network planned for another patch, in voxels."""
        return replace(self, configuration=replace(self.configuration, patch_size=tuple(patch_size)))

    def plan(self) -> dict[str, Any]:
        """`arch_kwargs` as they stand in the plans: the planner's that the constructor takes, and the user's."""
        accepted = accepted_arguments(self.network_class)
        planned = {key: value for key, value in planned_arch_kwargs(self.configuration).items() if key in accepted}
        return planned | dict(self.arch_kwargs(self.configuration) if callable(self.arch_kwargs) else self.arch_kwargs)

    def build(self, *, deep_supervision: bool = True, num_classes: int = NUM_CLASSES) -> nn.Module:
        """A network from `plan` by nnU-Net's own function, after a way through JSON."""
        kwargs = json.loads(json.dumps(self.plan()))
        required = [*(key for key in UNET_IMPORTS if key in kwargs), *self.kw_requires_import]
        network: nn.Module = get_network_from_plans(
            self.dotted_path, kwargs, required, INPUT_CHANNELS, num_classes, deep_supervision=deep_supervision
        )
        return network

    def image(self, batch_size: int = 2) -> Tensor:
        """Gaussian noise `(batch_size, INPUT_CHANNELS, *patch_size)`, as after nnU-Net's z-score normalisation."""
        return torch.randn(batch_size, INPUT_CHANNELS, *self.configuration.patch_size)

    def output_sizes(self) -> list[tuple[int, ...]]:
        """Voxels of each output with deep supervision, from the strides, as nnU-Net resamples the labels.

        A class that says `has_deep_supervision = False` has the first alone, whatever the strides.
        """
        sizes, size = [], self.configuration.patch_size
        for stride in self.configuration.strides[:-1]:
            size = tuple(voxels // step for voxels, step in zip(size, stride, strict=True))
            sizes.append(size)
        return sizes if getattr(self.network_class, "has_deep_supervision", True) else sizes[:1]


def decoder(network: nn.Module) -> Any:
    """`network.decoder`, where nnU-Net looks for it."""
    require(
        isinstance(getattr(network, "decoder", None), nn.Module),
        "there is no submodule `network.decoder`. nnU-Net sets the flag `deep_supervision` on it: keep the part that "
        "makes the outputs there, under this name.",
    )
    return network.decoder


def outputs(network: nn.Module, x: Tensor, deep_supervision: bool) -> list[Tensor]:
    """All outputs of the network with the flag set as nnU-Net's trainer sets it."""
    decoder(network).deep_supervision = deep_supervision
    result = network(x)
    return list(result) if isinstance(result, (list, tuple)) else [result]


def loss(results: Sequence[Tensor]) -> Tensor:
    """A loss on every output, in float32 as nnU-Net's."""
    return torch.stack([result.float().square().mean() for result in results]).sum()


def accepted_arguments(network_class: type[nn.Module]) -> set[str]:
    """Names that the constructor takes; where it hands `**kwargs` on, also those of the next class that it inherits."""
    names: set[str] = set()
    for cls in network_class.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    return names
