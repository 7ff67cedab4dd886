"""A transposed convolution and the pointwise linear map after it, as one transposed convolution.

A transposed convolution as wide as its stride makes each new voxel by a matrix from the channels of one. With the
linear map multiplied into that matrix, the upsampled volume is never written in its own channels and read again.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

COMPOSED_FROM = 2
"""Times that a matrix must be used to be worth its composition, which costs about as much as it saves in one use."""

TRANSPOSED: dict[int, Any] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


def add_upsampled(total: Tensor, low: Tensor, upsampling: nn.Module, weight: Tensor) -> Tensor:
    """Adds `linear(upsampling(low), weight)` to `total`, in place, and returns it.

    Args:
        total: `(rows, stride, ..., C)`, contiguous: a row is a slice of the low resolution, upsampled.
        low: `(rows, ..., C_low)`.
        upsampling: a transposed convolution with a bias, as wide as its stride.
        weight: `(C, C_up)`, of the linear map.
    """
    layer: Any = upsampling
    volume = low.unsqueeze(0).movedim(-1, 1)  # the rows are an axis of one image
    if low[..., 0].numel() < COMPOSED_FROM * layer.in_channels:
        upsampled = layer(volume).movedim(1, -1).view(*total.shape[:-1], -1)
        return total.add_(functional.linear(upsampled, weight))
    composed = torch.einsum("ou,lu...->lo...", weight, layer.weight)
    upsampled = TRANSPOSED[len(layer.stride)](volume, composed, weight @ layer.bias, layer.stride)
    return total.add_(upsampled.movedim(1, -1).view(total.shape))
