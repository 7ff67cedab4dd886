"""The norms of nnU-Net's U-Nets and of Factorizers, found and replaced."""

from collections.abc import Callable, Iterable

from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.network.block import FactorizerBlock
from nnunetv2_factorizer.network.convolution import InstanceNorm
from nnunetv2_factorizer.network.layers import ChannelLayerNorm

NORMS = (_InstanceNorm, InstanceNorm, ChannelLayerNorm)
"""None of them keeps statistics from one batch to the next, so two kinds of pass cannot mix theirs."""


def replace_norms(parts: Iterable[nn.Module], make: Callable[[nn.Module], nn.Module]) -> int:
    """Puts `make(norm)` in the place of each norm in these parts of a network; gives the number of norms.

    Factorizer blocks then keep what they compute at each voxel for the backward pass, which takes more memory:
    computed a chunk of voxels at a time, they could not tell a norm where the voxels lie.

    Raises:
        UserError: there is none of the `NORMS`.
    """
    replaced: dict[int, nn.Module] = {}
    for module in [module for part in parts for module in part.modules()]:
        for name, child in module._modules.items():
            if isinstance(child, NORMS):  # nnU-Net's blocks hold theirs by two names
                if id(child) not in replaced:
                    replaced[id(child)] = make(child)
                module._modules[name] = replaced[id(child)]
        if isinstance(module, FactorizerBlock):
            module.recompute = False
    if not replaced:
        raise UserError(
            "the network has no instance norm and no layer norm of a Factorizer where they were to be replaced; a "
            "batch norm cannot be, since its statistics would mix.",
            "Take plans with instance norms, such as nnU-Net's own (norm_op in arch_kwargs), or another trainer.",
        )
    return len(replaced)


def channels_of(norm: nn.Module) -> int:
    """C of what it normalises."""
    if isinstance(norm, _InstanceNorm):
        return norm.num_features
    if isinstance(norm, InstanceNorm):
        return norm.num_channels
    assert isinstance(norm, ChannelLayerNorm)
    return int(norm.normalized_shape[0])
