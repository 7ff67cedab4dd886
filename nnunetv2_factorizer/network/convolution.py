"""Dense and separable convolutions, for the parts of a Factorizer that are not factorized (ours)."""

from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from nnunetv2_factorizer.network.depthwise import depthwise
from nnunetv2_factorizer.network.settings import BlockSettings, ConvOp

SLOPE = 0.01
"""Of the leaky ReLU for negative numbers, as in nnU-Net."""


class InstanceNorm(nn.GroupNorm):
    """Normalises each channel of `(B, C, *S)` over space: a group a channel, a batch an image.

    Three functions of PyTorch do that. Its instance normalisation copies a channels-last volume, unless a compiler
    fuses it. The backward pass of its group normalisation takes several times as long on a CPU as that of a batch
    normalisation of each image, and on a GPU autocast computes it in float32, which doubles the memory kept.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # for any number of images
        if traced and x.is_cuda:
            return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        if not x.is_cuda and (traced or not torch.is_grad_enabled()):
            return super().forward(x)
        y: Tensor = _NormaliseImages.apply(x, self.weight, self.bias, self.eps)
        return y


class _NormaliseImages(torch.autograd.Function):
    """A batch normalisation of each image of `(B, C, *S)`, one after the other and without a copy of them all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y = _empty_channels_last(x)
        ctx.eps, ctx.statistics = eps, []
        for voxels, out in zip(_voxels(x), _voxels(y), strict=True):
            normalised, *statistics = torch.native_batch_norm(voxels, weight, bias, None, None, True, 0.0, eps)
            out.copy_(normalised)
            del normalised  # before there is that of the next image
            ctx.statistics.append(statistics)
        ctx.save_for_backward(x, weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        dx = _empty_channels_last(x)
        dweight, dbias = torch.zeros_like(weight), torch.zeros_like(weight)
        images = zip(_voxels(grad), _voxels(x), _voxels(dx), ctx.statistics, strict=True)
        for g, voxels, out, (mean, rstd) in images:
            of_voxels, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
                g, voxels, weight, None, None, mean, rstd, True, ctx.eps, [True, True, True]
            )
            out.copy_(of_voxels)
            del of_voxels
            dweight += of_weight
            dbias += of_bias
        return dx, dweight, dbias, None


def _empty_channels_last(x: Tensor) -> Tensor:
    """Like `x`, and no view, so that what comes after may work in place."""
    _, channels, *size = x.shape
    strides = [channels * prod(size[axis + 1 :]) for axis in range(len(size))]
    return x.new_empty_strided(x.shape, (channels * prod(size), 1, *strides))


def _voxels(x: Tensor) -> Tensor:
    """`(B, voxels, C)`, a view where `x` is channels-last."""
    return x.movedim(1, -1).flatten(1, -2)


class ConvolutionBlock(nn.Module):
    """`y = LeakyReLU(x + Norm(Conv(LeakyReLU(Norm(Conv(x))))))` on `(B, C, *S)`."""

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        channels, kernel = settings.channels, settings.kernel
        padding = tuple(n // 2 for n in kernel)
        self.conv1 = settings.conv_op(channels, channels, kernel, padding=padding, bias=False)
        self.norm1 = InstanceNorm(channels)
        self.conv2 = settings.conv_op(channels, channels, kernel, padding=padding, bias=False)
        self.norm2 = InstanceNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.leaky_relu_(self.norm1(self.conv1(x)), SLOPE)  # in place: two volumes less are kept
        return functional.leaky_relu_(x + self.norm2(self.conv2(y)), SLOPE)


class SeparableDownsampling(nn.Sequential):
    """From `above` to `below` channels: depthwise over 3 voxels along an axis of stride 2, then pointwise.

    Neighbours overlap, and there are fewer weights than in a convolution as wide as its stride.
    """

    def __init__(self, conv_op: ConvOp, above: int, below: int, stride: tuple[int, ...]) -> None:
        size = tuple(s + 1 - s % 2 for s in stride)  # odd, so that padding keeps the size
        padding = tuple(n // 2 for n in size)
        over_voxels = conv_op(above, above, size, stride=stride, padding=padding, groups=above)
        super().__init__(over_voxels, conv_op(above, below, 1))

    def forward(self, x: Tensor) -> Tensor:
        over_voxels, over_channels = self
        assert isinstance(over_voxels, _ConvNd)
        y: Tensor = over_channels(depthwise(over_voxels, x))
        return y
