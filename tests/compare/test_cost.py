"""The operations of a network, counted without computing them; seconds are measured end to end."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nnunetv2_factorizer.compare.cost import gflops
from nnunetv2_factorizer.factorization import NMF
from nnunetv2_factorizer.network import Factorizer
from tests.network.test_factorizer import SMALL


def test_a_convolution() -> None:
    network = nn.Conv3d(2, 4, 3, padding=1)
    assert gflops(network, (2, 8, 16, 16)) == pytest.approx(2 * 27 * 2 * 4 * 8 * 16 * 16 / 1e9)
    assert network.weight.device.type == "cpu"


def test_a_factorizer_counts_by_its_plain_iterations() -> None:
    settings = {**SMALL, "conv_op": nn.Conv3d, "matricize": "swin"}
    with torch.device("meta"):
        plain = Factorizer(**settings, recompute=False)
        for module in plain.modules():
            if isinstance(module, NMF):
                module.closed_form = False
        with FlopCounterMode(display=False) as counter:
            plain(torch.empty(1, 1, 8, 24, 16))
    network = Factorizer(**settings)
    assert gflops(network, (1, 8, 24, 16)) == pytest.approx(counter.get_total_flops() / 1e9)
    assert any(block.recompute for block in network.blocks.values())  # as before
