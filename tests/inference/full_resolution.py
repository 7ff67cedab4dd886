"""Maps stitched plainly: every tile at the resolution of the image, in memory."""

from typing import Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from numpy.typing import NDArray
from torch import Tensor

from nnunetv2_factorizer.factorization import resize
from nnunetv2_factorizer.inference.stitching import Tap


def stitch_at_full_resolution(predictor: Any, data: Tensor, layer: str, tap: Tap) -> NDArray:
    """The maps `(number, *S)` that the tap makes of a layer, without mirroring and of one fold."""
    tiles: list[Tensor] = []
    module = predictor.network.get_submodule(layer)
    handle = module.register_forward_hook(lambda module, inputs, output: tiles.append(tap(inputs[0], output)))
    predictor.predict_logits_from_preprocessed_data(data)
    handle.remove()
    patch = tuple(predictor.configuration_manager.patch_size)
    weights = torch.ones(patch)
    if predictor.use_gaussian:
        weights = compute_gaussian(patch, 1 / 8, 10, device=torch.device("cpu")).float()
    padded, unpad = pad_nd_image(data, patch, "constant", {"value": 0}, True, None)
    size = padded.shape[1:]
    total, weight = torch.zeros(tiles[0].shape[1], *size), torch.zeros(size)
    for (_, *region), maps in zip(predictor._internal_get_sliding_window_slicers(size), tiles, strict=True):
        total[(slice(None), *region)] += resize(maps, patch)[0] * weights
        weight[tuple(region)] += weights
    return np.asarray(total / weight)[(slice(None), *unpad[1:])]
