"""The features of a stage, averaged over tiles of an image, as nnU-Net's sliding window comes over it."""

from dataclasses import dataclass

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.inference.tiles import Region, WatchedPredictor

TILE = 2
"""Positions of the stage's grid on each side of a tile."""


@dataclass(frozen=True)
class TileFeatures:
    """Of the tiles of one image whose middle lies in it; of an image thinner than a tile, those that overlap it.

    Attributes:
        features: `(tiles, C)`, float32, not negative.
        centres: `(tiles, 3)`, their middles, voxels of the preprocessed image.
        size: voxels `(3,)` of a tile.
    """

    features: NDArray[np.float32]
    centres: NDArray[np.int32]
    size: NDArray[np.int32]


def tile_features(predictor: nnUNetPredictor, data: Tensor, stage: str) -> TileFeatures:
    """The spatial averages of the features over tiles; of unmirrored passes only.

    Args:
        predictor: initialised with one fold of a trained model.
        data: the preprocessed image `(C, *S)`.
        stage: name of a module of the network.
    """
    tiles = _Tiles(predictor.configuration_manager.patch_size, data.shape[1:])
    watched = WatchedPredictor(predictor, tiles)
    handle = watched.network.get_submodule(stage).register_forward_hook(tiles.see)
    try:
        watched.predict_logits_from_preprocessed_data(data)
    finally:
        handle.remove()
    return tiles.result()


class _Tiles:
    """A `TileObserver` that keeps averages; its `see` is a forward hook of the stage."""

    def __init__(self, patch: list[int], image: tuple[int, ...]) -> None:
        self._patch = np.array(patch)
        self._image = np.array(image)

    def start_fold(self, unpad: Region) -> None:
        self._padding = np.array([axis.start for axis in unpad])

    def start_window(self, size: tuple[int, ...]) -> None:
        self._features: list[NDArray] = []
        self._centres: list[NDArray] = []

    def start_pass(self, mirrored: tuple[int, ...]) -> None:
        self._watching = not mirrored

    def see(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if self._watching:
            self._maps = torch.relu(output.float())

    def finish_tile(self, region: Region) -> None:
        grid = np.array(self._maps.shape[2:])
        tile = np.minimum(TILE, grid)
        pool = functional.avg_pool3d if len(grid) == 3 else functional.avg_pool2d
        averages = pool(self._maps, tile.tolist(), ceil_mode=True)[0]
        stride = self._patch / grid
        corners = np.indices(averages.shape[1:]).reshape(len(grid), -1).T * tile
        middles = (corners + np.minimum(corners + tile, grid)) / 2 * stride
        if len(grid) == 2:  # of a slice: its first axis is a number
            middles = np.insert(middles, 0, 0, axis=1)
        start = [axis.start if isinstance(axis, slice) else axis for axis in region]
        middles += start - self._padding
        size = np.ones(3)
        size[-len(grid) :] = tile * stride
        reach = np.where(self._image < size, (size - 1) / 2, 0)  # all middles may lie beside an image that is thin
        inside = ((middles + reach >= 0) & (middles - reach < self._image)).all(1)
        self._features.append(averages.flatten(1).T.cpu().numpy()[inside])
        self._centres.append(np.floor(middles[inside]).clip(0, self._image - 1).astype(np.int32))
        self._size = size.astype(np.int32)

    def result(self) -> TileFeatures:
        return TileFeatures(np.concatenate(self._features), np.concatenate(self._centres), self._size)
