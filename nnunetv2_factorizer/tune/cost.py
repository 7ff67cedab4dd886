"""What a setting should cost by the paper's cost model: floating-point operations of plain iterations."""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from nnunetv2_factorizer.factorization import NMF
from nnunetv2_factorizer.models.trained import TrainedModel, build_network, patch_shape


def plain_flops(model: TrainedModel, changes: dict[str, Any]) -> int:
    """FLOPs of one patch with every NMF by plain iterations, rank 1 included; a skipped NMF costs nothing.

    Convolutions and matrix products are counted, of tensors without numbers: nothing is computed.
    """
    with torch.device("meta"), torch.no_grad():
        network = build_network(model, changes | {"recompute": False})
        for module in network.modules():
            if isinstance(module, NMF):
                module.closed_form = False
        x = torch.empty(1, *patch_shape(model))
        with FlopCounterMode(display=False) as counter:
            network(x)
    return counter.get_total_flops()
