"""Trained weights made to fit another network: what nnU-Net's own loading of pre-trained weights refuses."""

import zlib

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.factorization import GlobalMatricize, resize
from nnunetv2_factorizer.models.checkpoint import different_weight
from nnunetv2_factorizer.network import Factorizer

HEADS = ".seg_layers."
"""Part of the names of the layers that nnU-Net leaves as they are when it loads pre-trained weights."""

OF_THE_RANK = ("nmf.u0", "nmf.v0")
"""Ends of the names of the initial factors `(M, R)` and `(N, R)`, all that changes its shape with the rank."""


def adapt_weights(weights: dict[str, Tensor], source: nn.Module, target: nn.Module) -> dict[str, Tensor]:
    """Weights for a network with other image channels or another patch: a whole state dict, heads as they are there.

    - Image channels: each new one gets the mean of the old ones, scaled so that the sum over the channels stays.
    - Kernels that are 1 voxel wide along an axis in one of the networks: likewise, along that axis.
    - A position embedding of the patch's size is interpolated, and so are the initial factors of a Global Factorizer.

    Args:
        weights: a state dict of `source`.
        source: the network that was trained, on any device, the meta device included.
        target: the network to load into; it is not changed.

    Raises:
        UserError: something else differs.
    """
    adapted = dict(weights)
    own = target.state_dict()
    for name, tensor in own.items():
        if HEADS in name:
            adapted[name] = tensor
        elif name in weights and weights[name].shape != tensor.shape:
            adapted[name] = adapt_tensor(name, weights[name], source, target)
    adapted = {name: tensor for name, tensor in adapted.items() if HEADS not in name or name in own}
    if difference := different_weight(adapted, own):
        raise UserError(
            f"the weights cannot be adapted to this network: {difference}.",
            "Take a network with the stages, widths and windows of the one that was trained.",
        )
    return adapted


def adapt_tensor(name: str, weight: Tensor, source: nn.Module | None, target: nn.Module) -> Tensor:
    """One weight by the rules of `adapt_weights`; as it is, in a shape that does not fit, where there is none.

    Args:
        name: of the weight, in `target`.
        weight: of `source`.
        source: the network that was trained; only initial factors need it.
        target: the network to load into.
    """
    own: Tensor = target.state_dict(keep_vars=True)[name]  # the parameter itself, since one may have several names
    if weight.ndim != own.ndim:
        return weight
    if name == getattr(target, "key_to_lpe", None):
        return resize(weight, own.shape[2:])
    if isinstance(source, Factorizer) and isinstance(target, Factorizer):
        for block, here in target.blocks.items():
            there = source.blocks[block].mixer.matricize if block in source.blocks else None
            matricize = here.mixer.matricize
            if name == f"{block}.mixer.nmf.v0" and isinstance(matricize, GlobalMatricize):
                return there.fit(weight, matricize.window) if isinstance(there, GlobalMatricize) else weight
    stem = stem_weight(target)
    if stem is own and weight.shape[1] != own.shape[1]:
        weight = _spread(weight, 1, own.shape[1])
    layer = target.get_submodule(name.rpartition(".")[0])
    return _with_kernel(weight, own, layer) if isinstance(layer, _ConvNd) else weight


def stem_weight(network: nn.Module) -> Tensor | None:
    """The weight that sees the image: of a layer of the network's `keys_to_in_proj`, else of its first convolution."""
    for key in getattr(network, "keys_to_in_proj", ()):
        return network.get_parameter(f"{key}.weight")
    return next((module.weight for module in network.modules() if isinstance(module, _ConvNd)), None)


def _spread(weight: Tensor, axis: int, number: int) -> Tensor:
    """`number` times the mean over an axis, scaled so that the sum over it stays."""
    mean = weight.mean(axis, keepdim=True) * (weight.shape[axis] / number)
    return mean.repeat_interleave(number, axis)


def _with_kernel(weight: Tensor, own: Tensor, layer: _ConvNd) -> Tensor:
    """The weight of a convolution with the kernel size of `own`, where along each axis that differs one is 1 wide."""
    if weight.shape[:2] != own.shape[:2]:
        return weight
    for axis, (old, new) in enumerate(zip(weight.shape, own.shape, strict=True)):
        if old != new and 1 in (old, new):
            weight = _spread(weight, axis, new)
            if layer.transposed:  # As wide as its stride: an output voxel sees one entry, of which the size shall stay.
                weight = weight * (new / old)
    return weight


def adapt_rank(trained: dict[str, Tensor], network: dict[str, Tensor]) -> dict[str, Tensor]:
    """The trained weights, the same tensors, with initial factors for the rank of another network.

    Their first columns are the trained ones. Further columns are uniform in (0, 1) as in training, the same every time
    and the same for every rank that has them; no global random number generator is touched.

    Args:
        trained: a state dict.
        network: the state dict of the network to load into, of which the shapes are used.

    Raises:
        UserError: anything but the rank differs.
    """
    adapted = dict(trained)
    for name, tensor in network.items():
        if name in trained and name.endswith(OF_THE_RANK) and trained[name].shape != tensor.shape:
            adapted[name] = _columns(trained[name], tensor.shape[1], name)
    if difference := different_weight(adapted, network):
        raise UserError(
            f"the trained weights do not fit this setting: {difference}.",
            "Only num_iters, rank, solver and skip_nmf may differ from the training.",
        )
    return adapted


def _columns(factor: Tensor, rank: int, name: str) -> Tensor:
    """The first `rank` columns of a factor `(M, R)`, with more of them where it has less."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    new = torch.rand(max(0, rank - factor.shape[1]), len(factor), generator=generator).T
    return torch.cat([factor[:, :rank], new.to(factor)], dim=1).contiguous()
