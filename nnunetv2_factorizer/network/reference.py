"""Weights of the original implementation (github.com/pashtari/factorizer) under this package's names."""

import re
from collections.abc import Mapping

from torch import Tensor, nn

from nnunetv2_factorizer.network.factorizer import Factorizer

_RENAMES = (
    (r"^stem\.", "encoder.stem."),
    (r"^encoder\.blocks\.\d+\.block\.pos_embed\.pos$", "encoder.position_embedding.embedding"),
    (r"^encoder\.blocks\.(\d+)\.downsample\.", lambda m: f"encoder.downsamplings.{int(m[1]) - 1}."),
    (r"^decoder\.blocks\.(\d+)\.upsample\.", r"decoder.upsamplings.\1."),
    (r"^decoder\.blocks\.(\d+)\.block\.adapter\.linear\.", r"decoder.adapters.\1."),
    (r"^(encoder|decoder)\.blocks\.(\d+)\.block\.blocks\.(\d+)\.", r"\1.stages.\2.\3."),
    (r"\bfact\.factorize\.init\.", "mixer.nmf."),
    (r"\bfact\.", "mixer."),
    (r"\bmlp\.block\.", "mlp."),
    (r"\b(norm[12])\.norm\.", r"\1."),
    (r"\b(in_proj|out_proj|mlp\.\d+)\.linear\.", r"\1."),
)


def load_reference_state_dict(network: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Loads weights that have the published key names into a `Factorizer` or a `FactorizerBlock`.

    Published networks have fewer heads than nnU-Net asks for; the heads that the weights lack keep their values.

    Args:
        network: of the same architecture; nothing of it is changed when this raises.
        state_dict: published names to tensors. Pointwise weights may have a trailing axis of length 1.

    Raises:
        ValueError: the weights lack a tensor, have one too many, or one of another shape; the message names them.
    """
    own = network.state_dict()
    renamed = {_rename(key, network): value for key, value in state_dict.items()}
    missing = [key for key in own if key not in renamed and ".seg_layers." not in key]
    unexpected = [key for key in renamed if key not in own]
    if missing or unexpected:
        raise ValueError(
            f"the weights do not fit this network: missing {missing or 'none'}, unexpected {unexpected or 'none'}. "
            "Build the network with the stages, blocks and options that the weights were trained with."
        )
    for key, value in renamed.items():
        if value.shape == (*own[key].shape, 1):
            renamed[key] = value.squeeze(-1)
        elif value.shape != own[key].shape:
            raise ValueError(
                f"{key} has shape {tuple(value.shape)} in the weights and {tuple(own[key].shape)} in this network. "
                "Check features_per_stage, head_dim, window_size, rank and patch_size."
            )
    network.load_state_dict(own | renamed)


def _rename(key: str, network: nn.Module) -> str:
    for pattern, replacement in _RENAMES:
        key = re.sub(pattern, replacement, key)
    head = re.match(r"^heads\.(\d+)\.(.+)$", key)
    if head and isinstance(network, Factorizer):
        lowest = len(network.decoder.seg_layers) - 1
        return f"decoder.seg_layers.{lowest - int(head[1])}.{head[2]}"
    return key
