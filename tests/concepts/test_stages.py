"""Which module is a stage, which is not, and which one has the size of what is looked for."""

from types import SimpleNamespace
from typing import Any

import pytest
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from torch import nn

from nnunetv2_factorizer.concepts.stages import select_stage, stages_of
from nnunetv2_factorizer.errors import UserError
from tests.concepts.regions import NETWORKS, make_predictor


def predictor_of(network: nn.Module, *spacing: float) -> Any:
    return SimpleNamespace(network=network, configuration_manager=SimpleNamespace(spacing=list(spacing)))


def residual(strides: list[Any]) -> nn.Module:
    n = len(strides)
    conv = nn.Conv2d if isinstance(strides[0], int) or len(strides[0]) == 2 else nn.Conv3d
    return ResidualEncoderUNet(1, n, [4] * n, conv, 3, strides, [1] * n, 2, [1] * (n - 1))


@pytest.mark.parametrize("network_name", NETWORKS)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_four_voxels_by_default(network_name: str, dimensions: int) -> None:
    predictor = make_predictor(network_name, dimensions)
    stage = select_stage(predictor)
    assert (stage.name, stage.position) == ("encoder.stages.2", (4,) * dimensions)
    assert stage.size == pytest.approx(4)
    assert select_stage(predictor, "encoder.stages.1").name == "encoder.stages.1"
    predictor.network.get_submodule(stage.name)


def test_an_encoder_that_does_not_know_its_strides() -> None:
    predictor = make_predictor("PlainConvUNet", 3)
    expected = stages_of(predictor)
    del predictor.network.encoder.strides
    assert stages_of(predictor) == expected


def test_a_deep_network_is_not_read_at_its_bottom() -> None:
    predictor = predictor_of(residual([1, 2, 2, 2, 2, 2, 2]), 0.5, 0.5)
    assert select_stage(predictor).name == "encoder.stages.2"
    for size, expected in ((0.5, 0), (0.99, 0), (1, 1), (8, 4), (1e9, 6)):
        assert select_stage(predictor, size=size).name == f"encoder.stages.{expected}"


def test_thick_slices_have_the_size_of_a_cube_with_as_much_room() -> None:
    predictor = predictor_of(residual([[1, 1, 1], [1, 2, 2], [2, 2, 2]]), 8.0, 1.0, 1.0)
    stages = stages_of(predictor)
    assert [stage.position for stage in stages] == [(1, 1, 1), (1, 2, 2), (2, 4, 4)]
    assert [stage.size for stage in stages] == pytest.approx([2, 32 ** (1 / 3), 256 ** (1 / 3)])
    assert select_stage(predictor, size=3.2).name == "encoder.stages.1"


@pytest.mark.parametrize("size", [0.1, 0.0, -1.0, float("nan")])
def test_no_stage_is_so_fine(size: float) -> None:
    predictor = predictor_of(residual([1, 2]), 0.5, 0.5)
    message = r"mm or less; those of encoder\.stages\.0, the first, have 0\.5 mm\.\nGive --size 0\.5 or more, or name"
    with pytest.raises(UserError, match=message):
        select_stage(predictor, size=size)


def test_a_name_that_is_none() -> None:
    with pytest.raises(UserError, match=r"^encoder\.stages\.4 is no stage .*\nChoose from encoder\.stages\.0, .*1\.$"):
        select_stage(predictor_of(residual([1, 2]), 1, 1), "encoder.stages.4")


def test_network_without_stages() -> None:
    with pytest.raises(
        UserError, match=r"is a Linear without encoder\.stages\.\nName a model .*-chk checkpoint_pretrained"
    ):
        select_stage(predictor_of(nn.Linear(1, 1), 1, 1, 1))
