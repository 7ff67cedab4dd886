"""A network without what nnU-Net wraps it in."""

from torch.nn import Module
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_factorizer.inference.tiles import uncompiled


def bare(network: Module) -> Module:
    """The network itself, whether it was compiled, made data-parallel, both or neither."""
    return uncompiled(network.module if isinstance(network, DistributedDataParallel) else network)
