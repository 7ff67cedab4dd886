"""Early features of an image: what the first layers of a network make of it, averaged over the image.

InstanceNorm makes the mean and the standard deviation of a channel the same in all images. What comes before it is not:
the outputs of the first convolutions, which are the inputs of the first normalisation layers.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.backends import cudnn

from nnunetv2_factorizer.inference.tiles import uncompiled

CONVOLUTIONS = 3
"""So many of the first ones; in our networks and nnU-Net's the last of them comes after a non-linearity.

What is linear in the image hardly sees a tone curve, and what is deeper sees less noise.
"""

SILENT = 1e-6
"""Standard deviation of a channel that is the same everywhere, but for rounding."""

Range = tuple[int, int]


class _SeenEnough(Exception):  # noqa: N818  it is no error
    """Ends a forward pass."""


def early_features(predictor: nnUNetPredictor, data: Tensor) -> NDArray[np.float64]:
    """Mean and logarithm of the standard deviation of each channel of the first convolutions, `(F,)`.

    Each voxel is seen once, in windows of the network's patch size; nnU-Net's padding does not count.

    Args:
        predictor: initialised with one fold of a trained model.
        data: the preprocessed image `(C, *S)`.
    """
    network = uncompiled(predictor.network).to(predictor.device).eval()
    patch = tuple(predictor.configuration_manager.patch_size)
    padded, unpad = pad_nd_image(data, patch, "constant", {"value": 0}, True, None)
    inside = [(axis.start, axis.stop) for axis in unpad[1:]]
    sums = _Sums()
    handles = [m.register_forward_hook(sums.see) for m in network.modules() if _is_dense_convolution(m)]
    try:
        # Full precision, so that statistics made on a GPU hold for images on a CPU.
        with torch.inference_mode(), cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            for window, counted in _windows(padded.shape[1:], inside, patch):
                sums.start(counted, patch)
                with suppress(_SeenEnough):
                    network(padded[(slice(None), *window)][None].to(predictor.device))
    finally:
        for handle in handles:
            handle.remove()
    return sums.result()


def _is_dense_convolution(module: nn.Module) -> bool:
    """On a GPU, kernels of our own work in place of depthwise convolutions, whose hooks are then not called."""
    return isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and module.groups == 1


class _Sums:
    """Counts positions, and adds up values and squares of each channel; `see` is a forward hook of convolutions."""

    def __init__(self) -> None:
        self._totals: list[Tensor] = []

    def start(self, counted: list[Range], patch: tuple[int, ...]) -> None:
        self._counted, self._patch, self._seen = counted, patch, 0

    def see(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        region = [
            slice(low * size // voxels, -(-high * size // voxels))
            for (low, high), size, voxels in zip(self._counted, output.shape[2:], self._patch, strict=True)
        ]
        x = output[0][(slice(None), *region)]
        variance, mean = (y.cpu().double() for y in torch.var_mean(x.float(), list(range(1, x.ndim)), correction=0))
        total = x[0].numel() * torch.stack([torch.ones_like(mean), mean, variance + mean.square()])
        if self._seen == len(self._totals):
            self._totals.append(torch.zeros_like(total))
        self._totals[self._seen] += total
        self._seen += 1
        if self._seen == CONVOLUTIONS:
            raise _SeenEnough

    def result(self) -> NDArray[np.float64]:
        number, total, squares = torch.cat(self._totals, 1)
        mean = total / number
        deviation = (squares / number - mean.square()).clamp(min=0).sqrt()
        return torch.cat([mean, deviation.clamp(min=SILENT).log()]).numpy()


def _windows(
    size: tuple[int, ...], inside: list[Range], patch: tuple[int, ...]
) -> Iterator[tuple[list[int | slice], list[Range]]]:
    """Indices of each window in the padded image, and which of its voxels count, one range an axis of the patch."""
    flat = len(size) - len(patch)  # a network in 2D sees slice after slice
    slices = list(np.ndindex(size[:flat]))
    starts = compute_steps_for_sliding_window(size[flat:], patch, 1.0)
    ends = [[*axis[1:], n] for axis, n in zip(starts, size[flat:], strict=True)]  # where the next window begins
    for corner in np.ndindex(*map(len, starts)):
        window, counted = [], []
        for axis, number in enumerate(corner):
            start, end, (low, high) = starts[axis][number], ends[axis][number], inside[flat + axis]
            window.append(slice(start, start + patch[axis]))
            counted.append((max(start, low) - start, min(end, high) - start))
        for indices in slices:
            yield [*indices, *window], counted
