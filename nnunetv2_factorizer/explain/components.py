"""The components of a trained model for one image, put together over windows, tiles and mirrorings."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray
from torch import Tensor

from nnunetv2_factorizer.explain.decomposition import component_maps, energies
from nnunetv2_factorizer.explain.layers import DEFAULT, select_layers
from nnunetv2_factorizer.inference.image_space import to_image_space
from nnunetv2_factorizer.inference.images import preprocess, read, segment
from nnunetv2_factorizer.inference.stitching import StitchedMaps, Tap, stitching
from nnunetv2_factorizer.network.block import WrappedNMF


@dataclass(frozen=True)
class LayerComponents:
    """What one layer saw under the weights of one fold, in the preprocessed image; maps are read from disk."""

    layer: str
    fold: int
    """Counted from 0 in the order of the predictor's folds."""
    rank: int
    _maps: StitchedMaps

    @property
    def names(self) -> list[str]:
        """Of the components: the head and, above rank 1, the component of its matrices."""
        heads = (self._maps.number - 2) // self.rank
        digits = len(str(heads - 1))  # so that files are in this order, too
        names = [f"head {head:0{digits}d}" for head in range(heads)]
        return names if self.rank == 1 else [f"{name}, component {r}" for name in names for r in range(self.rank)]

    def component(self, index: int) -> NDArray:
        """One component map `(*S)`."""
        if not 0 <= index < len(self.names):
            raise IndexError(index)
        return self._maps[index]

    def residual(self) -> NDArray:
        """At each voxel `(*S)` the length of what the reconstruction lost."""
        return np.sqrt(self._maps[self._maps.number - 2])

    def explained(self) -> float:
        """The share that the reconstruction keeps of X, what is factorized: 1 - ||X - F G^T||^2 / ||X||^2."""
        lost, total = (float(self._maps[self._maps.number - i].sum(dtype=np.float64)) for i in (2, 1))
        return 1 - lost / total if total else 1.0


@contextmanager
def decomposed(
    predictor: nnUNetPredictor, data: Tensor, layers: Sequence[str], folder: Path | None = None
) -> Iterator[tuple[Tensor, list[LayerComponents]]]:
    """Predicts, and gives the logits `(C, *S)` of nnU-Net with the components of each layer and fold.

    Args:
        predictor: initialised from a trained Factorizer.
        data: the preprocessed image `(C, *S)`.
        layers: as `select_layers` takes them.
        folder: where the maps lie until the block ends, default the folder for temporary files.

    Raises:
        UserError: from `select_layers`, or the maps do not fit on the disk.
    """
    mixers = select_layers(predictor.network, layers)
    taps: dict[str, Tap] = {f"{layer}.mixer": partial(_tap, mixer) for layer, mixer in mixers.items()}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".maps_") as scratch:
        with stitching(predictor, taps, Path(scratch)) as stitched:
            logits = stitched.predictor.predict_logits_from_preprocessed_data(data).cpu()
        yield logits, [_layer_components(maps, mixers) for maps in stitched.maps]


@dataclass(frozen=True)
class ExplainedLayer:
    """What one layer saw of an image, as arrays in the axes and the size of that image."""

    layer: str
    fold: int
    names: list[str]
    components: NDArray
    """`(components, z, y, x)`."""
    residual: NDArray
    """`(z, y, x)`."""
    explained: float


def components(
    predictor: nnUNetPredictor,
    image: Sequence[str | Path],
    layers: Sequence[str] = DEFAULT,
    previous_stage: Path | None = None,
) -> tuple[NDArray, list[ExplainedLayer]]:
    """The segmentation `(z, y, x)` of an image, and what the layers saw of it; for notebooks.

    All maps are in memory in the end; `nnUNetv2_factorizer_explain` keeps one at a time.

    Args:
        predictor: an `nnUNetPredictor`, initialised from the folder of a trained Factorizer.
        image: the files of its channels.
        layers: blocks such as `encoder.stages.0.0`, or `first`, `bottleneck`, `last`, `all`.
        previous_stage: the file of the segmentation that a cascade starts from.

    Raises:
        UserError: the model is no Factorizer or has no such layer, or is a cascade without `previous_stage`.
    """
    case = preprocess(predictor, *read(predictor, [str(file) for file in image]), previous_stage)

    def volume(preprocessed: NDArray) -> NDArray:
        return to_image_space(preprocessed, predictor, case.properties)

    with decomposed(predictor, case.data, layers) as (logits, decomposition):
        explained = [
            ExplainedLayer(
                layer.layer,
                layer.fold,
                layer.names,
                np.stack([volume(layer.component(i)) for i in range(len(layer.names))]),
                volume(layer.residual()),
                layer.explained(),
            )
            for layer in decomposition
        ]
    return segment(predictor, logits, case.properties), explained


def _tap(mixer: WrappedNMF, x: Tensor, output: Tensor) -> Tensor:
    return torch.cat([component_maps(mixer, x), energies(x, output)], dim=1)


def _layer_components(maps: StitchedMaps, mixers: dict[str, WrappedNMF]) -> LayerComponents:
    layer = maps.layer.removesuffix(".mixer")
    return LayerComponents(layer, maps.fold, mixers[layer].nmf.rank, maps)
