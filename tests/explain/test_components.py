"""The components: known answers, sums, shifts, tiles, and what cannot be explained."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from numpy.typing import NDArray
from torch import Tensor, nn

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.explain import components
from nnunetv2_factorizer.explain.components import decomposed
from nnunetv2_factorizer.explain.decomposition import component_maps, energies
from nnunetv2_factorizer.explain.layers import select_layers
from nnunetv2_factorizer.factorization import resize
from nnunetv2_factorizer.network.block import WrappedNMF
from tests.inference.full_resolution import stitch_at_full_resolution
from tests.inference.small_predictor import noise, small_predictor, write_channels

FIRST = "encoder.stages.0.0"
BOTTLENECK = "encoder.stages.2.0"


def first_maps(predictor: Any, data: Tensor, layer: str = "first") -> NDArray:
    with decomposed(predictor, data, [layer]) as (_, (explained,)):
        return np.stack([explained.component(i) for i in range(len(explained.names))])


def small_mixer(**arch: Any) -> WrappedNMF:
    return select_layers(small_predictor(**arch).network, ["first"])[FIRST]


def first_layer_that_sees_the_sign(predictor: Any) -> None:
    """The first head finds the voxels above zero of the first channel, the second head those below.

    The stem repeats the image with both signs, which LayerNorm makes +1 and -1; the head has four equal rows of them,
    a matrix of rank 1 with the channel factor (1, 1, 1, 1) / 2 and the spatial factor 2 where the sign is right.
    """
    weights = predictor.list_of_parameters[0]
    stem = torch.zeros_like(weights["encoder.stem.weight"])
    stem[0::2, 0, 1, 1, 1], stem[1::2, 0, 1, 1, 1] = 1, -1
    in_proj = torch.zeros_like(weights[f"{FIRST}.mixer.in_proj.weight"])
    in_proj[:4, 0], in_proj[4:, 1] = 1, 1
    weights.update({"encoder.stem.weight": stem, f"{FIRST}.mixer.in_proj.weight": in_proj})


@pytest.mark.parametrize("matricize", ["swin", "local", "global"])
@pytest.mark.parametrize("mirroring", [False, True])
def test_map_of_a_layer_whose_answer_is_known(matricize: str, mirroring: bool) -> None:
    predictor = small_predictor(matricize=matricize, mirroring=mirroring)
    first_layer_that_sees_the_sign(predictor)
    data = torch.randn(2, 8, 24, 18).sign() * 10
    maps = first_maps(predictor, data)
    np.testing.assert_allclose(maps[0], 2 * (data[0] > 0), atol=1e-3)
    np.testing.assert_allclose(maps[1], 2 * (data[0] < 0), atol=1e-3)
    with decomposed(predictor, data, ["first"]) as (_, (layer,)):
        assert layer.names == ["head 0", "head 1"]
        assert layer.explained() == pytest.approx(1, abs=1e-4)
        np.testing.assert_allclose(layer.residual(), 0, atol=1e-2)


@pytest.mark.parametrize(("rank", "solver"), [(1, "hals"), (2, "hals"), (3, "mu")])
def test_sum_of_components_is_the_reconstruction(rank: int, solver: str) -> None:
    mixer = small_mixer(rank=rank, solver=solver, matricize="local")
    assert mixer.matricize is not None
    x = torch.randn(1, 8, 8, 16, 12)
    maps = component_maps(mixer, x)
    assert maps.shape == (1, 2 * rank, 8, 16, 12)
    matrices = mixer.matricize(torch.relu(x))
    f, _ = mixer.nmf.decompose(matrices)
    unit = nn.functional.normalize(f, dim=-2)
    spatial = maps.unflatten(1, (2, rank))
    total = sum(
        mixer.matricize.inverse(
            unit[..., r : r + 1] @ mixer.matricize(spatial[:, :, r].repeat_interleave(4, dim=1))[..., :1, :],
            x.shape[2:],
        )
        for r in range(rank)
    )
    torch.testing.assert_close(total, mixer(x), rtol=1e-4, atol=1e-5)


def test_rank_1_maps_are_the_lengths_of_the_output() -> None:
    """Without factorizing anything again: the channel factor of a head has length 1."""
    mixer = small_mixer(matricize="local")
    x = torch.randn(1, 8, 8, 16, 12)
    lengths = mixer(x).unflatten(1, (2, 4)).norm(dim=2)
    torch.testing.assert_close(component_maps(mixer, x), lengths, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", [FIRST, BOTTLENECK])
def test_explained_share_and_residual_are_those_of_the_layer(block: str) -> None:
    predictor = small_predictor()
    data = torch.randn(2, 8, 16, 16)
    seen: list[tuple[Tensor, Tensor]] = []
    predictor.network.get_submodule(f"{block}.mixer").register_forward_hook(
        lambda module, inputs, output: seen.append((torch.relu(inputs[0]), output))
    )
    with decomposed(predictor, data, [block]) as (_, (layer,)):
        x, output = seen[0]
        lost = (x - output).square().sum(1)
        expected = resize(lost[None], (8, 16, 16))[0, 0].sqrt()
        np.testing.assert_allclose(layer.residual(), expected, rtol=1e-4, atol=1e-5)
        assert layer.explained() == pytest.approx(1 - (lost.sum() / x.square().sum()).item(), rel=1e-4)
        assert 0 < layer.explained() < 1


def test_explained_share_of_a_coarse_layer_in_many_tiles() -> None:
    """As the energies at the resolution of the image give it; the map of the residual is a little smoother."""
    torch.manual_seed(0)
    predictor = small_predictor()
    data = torch.randn(2, 11, 37, 25)
    data[:, :, :20] *= 3
    lost, total = stitch_at_full_resolution(predictor, data, f"{BOTTLENECK}.mixer", energies)
    with decomposed(predictor, data, ["bottleneck"]) as (_, (layer,)):
        assert layer.explained() == pytest.approx(1 - lost.sum() / total.sum(), abs=0.005)
        difference = np.linalg.norm(layer.residual() - np.sqrt(lost)) / np.linalg.norm(np.sqrt(lost))
        assert 0 < difference < 0.1


def test_maps_of_a_shifted_image_shift() -> None:
    """By whole windows, in one tile; away from the border, which the stem's zero padding reaches."""
    predictor = small_predictor(patch=(8, 32, 32))
    data = torch.zeros(2, 8, 32, 32)
    data[:, 2:6, 9:15, 10:14] = torch.randn(2, 4, 6, 4)
    maps, shifted = (first_maps(predictor, d) for d in (data, data.roll((8, 4), (2, 3))))
    inner = (slice(None), slice(None), slice(4, 28), slice(4, 28))
    np.testing.assert_allclose(shifted[inner], np.roll(maps, (8, 4), (2, 3))[inner], rtol=1e-3, atol=1e-4)


def test_tiles_and_one_window_agree_away_from_borders() -> None:
    small = small_predictor(patch=(8, 16, 16), position_embedding=False, matricize="local")
    large = small_predictor(patch=(8, 32, 32), position_embedding=False, matricize="local")
    large.list_of_parameters = small.list_of_parameters
    data = torch.randn(2, 8, 32, 32)
    tiles, whole = first_maps(small, data), first_maps(large, data)
    difference = np.linalg.norm(tiles - whole) / np.linalg.norm(whole)
    assert 0 < difference < 0.02  # at the border of a tile the stem sees zeros, and weights are small but not zero


def test_library_form_has_the_axes_of_the_image(tmp_path: Path) -> None:
    channels = noise(9, 20, 14), noise(9, 20, 14, seed=1)
    for channel in channels:
        channel[:, :3] = 0  # which nnU-Net crops
    files = write_channels(tmp_path, *channels, Spacing=(1.0, 1.5, 2.0))
    predictor = small_predictor()
    segmentation, layers = components(predictor, files, ["first", "bottleneck", "last"])
    (expected,) = predictor.predict_from_files_sequential([files], None)
    np.testing.assert_array_equal(segmentation, expected)
    assert [layer.layer for layer in layers] == [FIRST, BOTTLENECK, "decoder.stages.1.0"]
    for layer in layers:
        assert layer.components.shape == (len(layer.names), 9, 20, 14)
        assert layer.residual.shape == (9, 20, 14)
        assert (layer.components[:, :, :3] == 0).all()
        assert (layer.components[:, :, 3:].max((1, 2, 3)) > 0).any()


def test_components_of_a_higher_rank_are_named_by_head() -> None:
    with decomposed(small_predictor(rank=2), torch.randn(2, 8, 16, 16), ["first"]) as (_, (layer,)):
        assert layer.names == [f"head {h}, component {r}" for h in range(2) for r in range(2)]
        assert layer.component(3).shape == (8, 16, 16)
        with pytest.raises(IndexError):
            layer.component(4)


def test_a_compiled_network_is_explained_as_it_was_before() -> None:
    """As nnU-Net loads it with nnUNet_compile=t."""
    predictor = small_predictor()
    data = torch.randn(2, 8, 16, 16)
    expected = first_maps(predictor, data)
    predictor.network = torch.compile(predictor.network)
    np.testing.assert_array_equal(first_maps(predictor, data), expected)


def test_layers_by_name() -> None:
    network = small_predictor(n_blocks_per_stage=2).network
    names = list(network.blocks)
    assert list(select_layers(network)) == [names[0], names[5], names[-1]]
    assert list(select_layers(network, ["all"])) == names
    assert list(select_layers(network, [names[3], "first"])) == [names[0], names[3]]
    assert all(a < b for a, b in pairwise(map(names.index, select_layers(network, ["last", "bottleneck", "first"]))))


def test_what_cannot_be_explained() -> None:
    network = small_predictor(skip_nmf=[FIRST, "encoder.stages.2.0"]).network
    with pytest.raises(UserError, match=r"^encoder\.stages\.0\.0 is not factorized .*\nChoose from first.*stages\.1"):
        select_layers(network, [FIRST])
    assert FIRST not in select_layers(network, ["all"])
    assert list(select_layers(network, ["first", "bottleneck"])) == ["encoder.stages.1.0"]
    with pytest.raises(UserError, match=r"^encoder\.stages\.7 is no layer of this model"):
        select_layers(network, ["encoder.stages.7"])
    unet = PlainConvUNet(1, 2, [4, 8], nn.Conv3d, 3, [1, 2], 1, 2, 1)
    with pytest.raises(UserError, match="is a PlainConvUNet, not a Factorizer"):
        select_layers(unet, ["first"])
