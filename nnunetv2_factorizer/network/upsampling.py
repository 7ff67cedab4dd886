"""A transposed convolution as wide as its stride, and the pointwise linear map after it, as one matrix product.

The voxels that such a convolution makes of one voxel are a matrix times its channels. With the linear map multiplied
into that matrix, the upsampled volume is never written in its own channels and read again.
"""

from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

COMPOSED_FROM = 2
"""Times that a matrix must be used to be worth its composition, which costs about as much as it saves in one use."""


def add_upsampled(total: Tensor, low: Tensor, upsampling: nn.Module, weight: Tensor) -> Tensor:
    """`total + linear(upsampling(low), weight)`; `total` may be overwritten.

    Args:
        total: `(rows, stride, ..., C)`, contiguous: a row is a slice of the low resolution, upsampled.
        low: `(rows, ..., C_low)`.
        upsampling: a transposed convolution with a bias, as wide as its stride.
        weight: `(C, C_up)`, of the linear map.
    """
    transposed: Any = upsampling
    stride, bias = transposed.stride, transposed.bias
    if low[..., 0].numel() < COMPOSED_FROM * transposed.in_channels:
        volume = transposed(low.unsqueeze(0).movedim(-1, 1)).movedim(1, -1).view(*total.shape[:-1], -1)
        return total.add_(functional.linear(volume, weight))
    of_voxel = torch.einsum("ou,lu...->...ol", weight, transposed.weight).flatten(0, -2)
    voxels = functional.linear(low, of_voxel, (weight @ bias).repeat(prod(stride)))
    # From (rows, S_1, ..., stride_0, stride_1, ..., C) to (rows, stride_0, S_1, stride_1, ..., C).
    axes = len(stride)
    order = [0, axes, *(axis for i in range(1, axes) for axis in (i, axes + i)), 2 * axes]
    shuffled = voxels.unflatten(-1, (*stride, -1)).permute(order)
    return (total.view(shuffled.shape) + shuffled).view(total.shape)  # in place, autograd would copy volumes
