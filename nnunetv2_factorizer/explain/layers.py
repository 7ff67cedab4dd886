"""Which layers are explained: blocks of the network by name, or `first`, `bottleneck`, `last`, `all`."""

from collections.abc import Sequence

from torch import nn

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.tiles import uncompiled
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.network.block import WrappedNMF

DEFAULT = ("first", "bottleneck", "last")


def select_layers(network: nn.Module, names: Sequence[str] = DEFAULT) -> dict[str, WrappedNMF]:
    """The factorizations of the named blocks, in the order of computation.

    Args:
        network: a `Factorizer`, compiled or not.
        names: of blocks, such as `encoder.stages.0.0`; `first`, `last` and `all` of those that factorize, `bottleneck`
            for the last of the encoder.

    Raises:
        UserError: the network is no Factorizer, or it has no such block, or the block does not factorize.
    """
    network = uncompiled(network)
    if not isinstance(network, Factorizer):
        raise UserError(
            f"the network of this model is a {type(network).__name__}, not a Factorizer: it has no components.",
            "Name a model that was trained with a Factorizer trainer or with plans that name a Factorizer.",
        )
    blocks = list(network.blocks)
    factorizing = [name for name, block in network.blocks.items() if block.mixer.matricize is not None]
    encoder = [name for name in factorizing if name.startswith("encoder.")]
    meanings = {"first": factorizing[:1], "bottleneck": encoder[-1:], "last": factorizing[-1:], "all": factorizing}
    selected = {layer for name in names for layer in meanings.get(name, [name])}
    for layer in selected - set(factorizing):
        problem = "is not factorized (nmf or skip_nmf of the plans)" if layer in blocks else "is no layer of this model"
        raise UserError(f"{layer} {problem}.", f"Choose from first, bottleneck, last, all, {', '.join(factorizing)}.")
    return {name: network.blocks[name].mixer for name in factorizing if name in selected}
