"""Tiles: what their averages are, where they are, and that padding is none of them."""

import numpy as np
import pytest
import torch
from torch import Tensor

from nnunetv2_factorizer.concepts.features import tile_features
from tests.concepts.regions import NETWORKS, STAGE, make_predictor


@pytest.mark.parametrize("network_name", NETWORKS)
@pytest.mark.parametrize("mirroring", [False, True])
def test_averages_of_one_window(network_name: str, mirroring: bool) -> None:
    predictor = make_predictor(network_name, 3)
    predictor.use_mirroring = mirroring
    data = torch.randn(2, 24, 24, 24)
    seen: list[Tensor] = []
    handle = predictor.network.get_submodule(STAGE).register_forward_hook(lambda m, i, output: seen.append(output))
    tiles = tile_features(predictor, data, STAGE)
    handle.remove()
    expected = torch.relu(seen[0])[0].unfold(1, 2, 2).unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5, 6))
    np.testing.assert_allclose(tiles.features, expected.flatten(1).T, rtol=1e-5, atol=1e-6)
    assert tiles.size.tolist() == [4, 4, 4]
    np.testing.assert_array_equal(tiles.centres, np.indices((6, 6, 6)).reshape(3, -1).T * 4 + 2)


def test_positions_in_the_image_and_no_padding() -> None:
    predictor = make_predictor("PlainConvUNet", 3)
    data = torch.randn(2, 10, 24, 40)
    tiles = tile_features(predictor, data, STAGE)
    # Padded by 7 slices on each side; windows start at x of 0, 8 and 16.
    expected = [(z, 4 * y + 2, start + 4 * x + 2) for start in (0, 8, 16) for z in (3, 7) for y, x in np.ndindex(6, 6)]
    assert sorted(map(tuple, tiles.centres.tolist())) == sorted(expected)
    assert tiles.features.shape == (len(expected), 16)


def test_an_image_between_the_middles_of_two_tiles() -> None:
    """Two slices, padded by 11: they are 11 and 12 of the window, the middles of its tiles 10 and 14."""
    tiles = tile_features(make_predictor("PlainConvUNet", 3), torch.randn(2, 2, 24, 24), STAGE)
    assert set(tiles.centres[:, 0].tolist()) == {0, 1}
    assert len(tiles.features) == 2 * 6 * 6


def test_slices_of_a_2d_network() -> None:
    predictor = make_predictor("PlainConvUNet", 2)
    tiles = tile_features(predictor, torch.randn(2, 3, 24, 24), STAGE)
    assert tiles.size.tolist() == [1, 4, 4]
    assert len(tiles.features) == 3 * 36
    assert sorted(set(tiles.centres[:, 0].tolist())) == [0, 1, 2]
    assert sorted(set(tiles.centres[:, 1].tolist())) == [2, 6, 10, 14, 18, 22]


def test_hooks_are_gone_afterwards() -> None:
    predictor = make_predictor("Factorizer", 3)
    tile_features(predictor, torch.randn(2, 24, 24, 24), STAGE)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in predictor.network.modules())
