"""Maps that layers make of each tile, put together to maps of the image, in files rather than in memory.

Mirrored passes are mirrored back and averaged, tiles are weighted as nnU-Net weights their logits. Maps of a stage with
fewer voxels than the patch stay that small in the files, and are interpolated to the voxels when they are read.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from numpy.typing import NDArray
from torch import Tensor, nn

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.factorization import resize
from nnunetv2_factorizer.inference.stage_grid import Strides, grid_size, onto_grid, stage_strides, to_voxels
from nnunetv2_factorizer.inference.tiles import Region, WatchedPredictor

Tap = Callable[[Tensor, Tensor], Tensor]
"""Makes maps `(1, number, *s)` of the input and the output `(1, C, *s)` of a layer."""


@dataclass(frozen=True)
class StitchedMaps:
    """Maps of one layer under the weights of one fold: `number` of them, each `(*S)` of the preprocessed image."""

    layer: str
    fold: int
    """Counted from 0 in the order of the predictor's folds."""
    number: int
    path: Path
    weights: NDArray
    """The sum over the tiles so far, on the grid of the layer's stage over the padded image."""
    strides: Strides
    unpad: Region

    def __getitem__(self, index: int) -> NDArray:
        """One map `(*S)`, read from disk and interpolated linearly to the voxels."""
        if not 0 <= index < self.number:
            raise IndexError(index)
        average = torch.from_numpy(np.asarray(self.open(index) / self.weights))
        return to_voxels(average, self.strides).numpy()[self.unpad]

    def open(self, index: int) -> NDArray:
        """The weighted sum over the tiles so far, on the same grid, as a view of the file."""
        size = self.weights.shape
        return np.memmap(self.path, np.float32, "r+", offset=index * self.weights.nbytes, shape=size)


@contextmanager
def stitching(predictor: nnUNetPredictor, taps: Mapping[str, Tap], folder: Path) -> Iterator["Stitching"]:
    """Within the block, `.predictor` predicts as `predictor` does and `.maps` fills with what the taps make of it.

    Args:
        predictor: initialised from a trained model.
        taps: names of modules of the network, and what to make of each.
        folder: for the files, which have 4 bytes for each cell of the grid of the layer's stage over the padded image,
            and each map; the caller removes it.
    """
    stitcher = Stitching(predictor, taps, folder)
    modules = dict(stitcher.predictor.network.named_modules())
    handles = [modules[name].register_forward_hook(partial(stitcher.tap, name)) for name in taps]
    try:
        yield stitcher
    finally:
        for handle in handles:
            handle.remove()


class Stitching:
    """See `stitching`. `maps` has an entry for each fold and layer."""

    def __init__(self, predictor: nnUNetPredictor, taps: Mapping[str, Tap], folder: Path) -> None:
        self.predictor = WatchedPredictor(predictor, self)
        self.maps: list[StitchedMaps] = []
        self._taps = taps
        self._folder = folder
        self._fold = -1

    def start_fold(self, unpad: Region) -> None:
        self._fold += 1
        self._unpad = unpad

    def start_window(self, size: tuple[int, ...]) -> None:
        self._size = size
        self._weights: dict[Strides, NDArray] = {}  # one for all layers of a resolution
        self.maps = [maps for maps in self.maps if maps.fold != self._fold]
        self._stitched: dict[str, StitchedMaps] = {}
        self._start_tile()

    def start_pass(self, mirrored: tuple[int, ...]) -> None:
        self._passes += 1
        self._mirrored = [2 + axis for axis in mirrored]

    def tap(self, name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """The forward hook of a layer."""
        maps = self._taps[name](inputs[0], output).float().flip(self._mirrored)
        self._sums[name] = self._sums[name] + maps if name in self._sums else maps

    def finish_tile(self, region: Region) -> None:
        patch = tuple(self.predictor.configuration_manager.patch_size)
        weights = self._tile_weights(patch)
        weighted: set[Strides] = set()
        for name, total in self._sums.items():
            strides = stage_strides(patch, total.shape[2:], len(region))
            stage = grid_size(patch, strides[-len(patch) :])
            weights_of_stage, cells = onto_grid(resize(weights[None, None], stage)[0, 0], region, strides, beyond=0)
            if strides not in self._weights:
                self._weights[strides] = np.zeros(grid_size(self._size, strides), np.float32)
            if strides not in weighted:
                self._weights[strides][cells] += weights_of_stage.cpu().numpy()
                weighted.add(strides)
            if name not in self._stitched:
                self._stitched[name] = self._new_maps(name, total.shape[1], strides)
                self.maps.append(self._stitched[name])
            for index, map_of_tile in enumerate((total / self._passes).unbind(1)):
                on_grid, _ = onto_grid(resize(map_of_tile[None], stage)[0, 0], region, strides, beyond=1)
                self._stitched[name].open(index)[cells] += (on_grid * weights_of_stage).cpu().numpy()
        self._start_tile()

    def _start_tile(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._passes = 0

    def _tile_weights(self, patch: tuple[int, ...]) -> Tensor:
        """Those of nnU-Net's logits, in its words."""
        device = self.predictor.device
        if not self.predictor.use_gaussian:
            return torch.ones(patch, device=device)
        return compute_gaussian(patch, sigma_scale=1.0 / 8, value_scaling_factor=10, device=device).float()

    def _new_maps(self, layer: str, number: int, strides: Strides) -> StitchedMaps:
        path = self._folder / f"{self._fold}_{layer}.float32"
        weights = self._weights[strides]
        zeros = bytes(weights.nbytes)
        needed, free = number * len(zeros), shutil.disk_usage(self._folder).free
        if needed > free:
            raise UserError(
                f"{number} maps of this image need {needed / 2**30:.1f} GiB for the time being, and "
                f"{free / 2**30:.1f} GiB are free in {self._folder.parent}.",
                "Make room, or give another folder with -o.",
            )
        with path.open("wb") as file:
            for _ in range(number):  # With holes in it, a mapped file on a full disk would kill the process later.
                file.write(zeros)
        return StitchedMaps(layer, self._fold, number, path, weights, strides, self._unpad)
