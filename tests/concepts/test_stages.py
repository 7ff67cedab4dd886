"""Which module is a stage, and which is not."""

from types import SimpleNamespace
from typing import Any

import pytest
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from torch import nn

from nnunetv2_factorizer.concepts.stages import select_stage
from nnunetv2_factorizer.errors import UserError
from tests.concepts.regions import NETWORKS, make_predictor


def predictor_of(network: nn.Module) -> Any:
    return SimpleNamespace(network=network)


@pytest.mark.parametrize("network_name", NETWORKS)
def test_second_to_last_by_default(network_name: str) -> None:
    predictor = make_predictor(network_name, 3)
    assert select_stage(predictor) == "encoder.stages.1"
    assert select_stage(predictor, "encoder.stages.2") == "encoder.stages.2"
    predictor.network.get_submodule("encoder.stages.1")


def test_residual_encoder() -> None:
    network = ResidualEncoderUNet(1, 4, [4, 8, 8, 8], nn.Conv2d, 3, [1, 2, 2, 2], [1] * 4, 2, [1] * 3)
    assert select_stage(predictor_of(network)) == "encoder.stages.2"
    with pytest.raises(UserError, match=r"^encoder\.stages\.4 is no stage .*\nChoose from encoder\.stages\.0, .*3\.$"):
        select_stage(predictor_of(network), "encoder.stages.4")


def test_network_without_stages() -> None:
    with pytest.raises(UserError, match=r"is a Linear without encoder\.stages\.\nName a model with a Factorizer"):
        select_stage(predictor_of(nn.Linear(1, 1)))
