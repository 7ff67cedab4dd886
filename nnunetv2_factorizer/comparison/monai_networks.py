"""MONAI, the extra `comparison`: imported when a network of it is built, and not before."""

from importlib import import_module
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.installation import install_extra


def monai_network(name: str) -> Any:
    """A module of MONAI's networks, such as `unetr`.

    Raises:
        UserError: MONAI is not installed, or too old to have it.
    """
    try:
        return import_module(f"monai.networks.nets.{name}")
    except ImportError as error:
        raise UserError(
            f"this network is MONAI's ({name}), which cannot be imported: {error}.",
            f"Install the extra `comparison` of this package: {install_extra('comparison')}",
        ) from error


class NumbersOnCpu(TorchFunctionMode):
    """Inside, `torch.linspace` is on the CPU: MONAI reads its numbers, which those of the meta device do not have."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)
