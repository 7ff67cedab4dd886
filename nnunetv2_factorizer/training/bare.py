"""A network without what nnU-Net wraps it in."""

from torch._dynamo import OptimizedModule
from torch.nn import Module
from torch.nn.parallel import DistributedDataParallel


def bare(network: Module) -> Module:
    """The network itself, whether it was compiled, made data-parallel, both or neither."""
    network = network.module if isinstance(network, DistributedDataParallel) else network
    return network._orig_mod if isinstance(network, OptimizedModule) else network
