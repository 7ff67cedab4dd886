"""nnU-Net's sliding window, watched: what each forward pass of the network sees of the image, and how mirrored."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, Protocol

import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import Tensor, nn

Region = tuple[Any, ...]
"""The indices of a tile in the padded image `(*S)`, one an axis: slices, or a number where a network is 2D."""


def uncompiled(network: nn.Module) -> nn.Module:
    """The network as it was before `torch.compile`; nnU-Net compiles where `nnUNet_compile` says so."""
    original: nn.Module = getattr(network, "_orig_mod", network)
    return original


class TileObserver(Protocol):
    """What `WatchedPredictor` tells about the forward passes; forward hooks give it what the layers do in them."""

    def start_fold(self, unpad: Region) -> None:
        """The weights of another fold come; `unpad` are the indices of the image in the padded one."""

    def start_window(self, size: tuple[int, ...]) -> None:
        """A sliding window over the padded image `(*S)` begins, or begins again on the CPU."""

    def start_pass(self, mirrored: tuple[int, ...]) -> None:
        """The network is about to see the tile, mirrored along these spatial axes."""

    def finish_tile(self, region: Region) -> None:
        """The tile was seen in all its mirrorings."""


class WatchedPredictor(nnUNetPredictor):
    """Another nnU-Net predictor's model and settings, and its predictions, told to an observer as they come about.

    A compiled network runs as it was before it was compiled: its hooks would not be called otherwise.
    """

    def __init__(self, predictor: nnUNetPredictor, observer: TileObserver) -> None:
        self.__dict__.update(predictor.__dict__)  # what the constructor and initialize_from_... made of it
        self.network = uncompiled(predictor.network)
        self._observer = observer
        self._regions: Iterator[Region] = iter(())

    def predict_sliding_window_return_logits(self, input_image: Tensor) -> Tensor:
        patch = self.configuration_manager.patch_size
        _, unpad = pad_nd_image(input_image[:1], patch, "constant", {"value": 0}, True, None)
        self._observer.start_fold(tuple(unpad[1:]))
        return super().predict_sliding_window_return_logits(input_image)

    def _internal_predict_sliding_window_return_logits(
        self, data: Tensor, slicers: Sequence[Region], do_on_device: bool = True
    ) -> Tensor:
        self._observer.start_window(tuple(data.shape[1:]))
        self._regions = iter([slicer[1:] for slicer in slicers])
        return super()._internal_predict_sliding_window_return_logits(data, slicers, do_on_device)

    def _internal_maybe_mirror_and_predict(self, x: Tensor) -> Tensor:
        mirrorings = iter(self._mirrorings())
        handle = self.network.register_forward_pre_hook(lambda *_: self._observer.start_pass(next(mirrorings)))
        try:
            prediction = super()._internal_maybe_mirror_and_predict(x)
        finally:
            handle.remove()
        with torch.inference_mode():
            self._observer.finish_tile(next(self._regions))
        return prediction

    def _mirrorings(self) -> list[tuple[int, ...]]:
        """Spatial axes along which each pass sees its tile mirrored, in nnU-Net's order."""
        axes = (self.allowed_mirroring_axes if self.use_mirroring else None) or ()
        return [chosen for number in range(len(axes) + 1) for chosen in combinations(axes, number)]
