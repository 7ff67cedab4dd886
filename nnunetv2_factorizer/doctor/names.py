"""The classes that plans name. nnU-Net imports and calls whatever stands there, so the doctor looks first."""

import pydoc
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import nn

from nnunetv2_factorizer.families import family_of

ARCHITECTURES = "dynamic_network_architectures."
LAYERS = ("torch.nn.", ARCHITECTURES)


def unknown_name(configuration: ConfigurationManager) -> str:
    """The first name in the architecture that is no network or layer of a known package, or an empty string."""
    arguments = configuration.network_arch_init_kwargs
    # A Factorizer imports its conv_op by itself.
    keys = [*configuration.network_arch_init_kwargs_req_import, "conv_op"]
    layers = [arguments[key] for key in keys if arguments.get(key) is not None]
    network = configuration.network_arch_class_name
    if family_of(network) is None and not _is_module_of(network, (ARCHITECTURES,)):
        return str(network)
    return next((str(name) for name in layers if not _is_module_of(name, LAYERS)), "")


def _is_module_of(name: Any, packages: tuple[str, ...]) -> bool:
    """Whether the name is a class of layers that is defined in one of the packages.

    A name that merely starts with theirs is not enough: a module of theirs may hold `torch.hub.load` as well.
    """
    if not isinstance(name, str) or not name.startswith(packages):
        return False
    found = pydoc.locate(name)
    return isinstance(found, type) and issubclass(found, nn.Module) and found.__module__.startswith(packages)
