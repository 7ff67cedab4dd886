"""Dense and separable convolutions, for the parts of a Factorizer that are not factorized (ours)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.network.settings import BlockSettings, ConvOp

SLOPE = 0.01
"""Of the leaky ReLU for negative numbers, as in nnU-Net."""


class InstanceNorm(nn.GroupNorm):
    """Normalises each channel of `(B, C, *S)` over space: a group a channel, a batch an image.

    Three functions of PyTorch do that. In channels-last memory on a CPU its instance normalisation copies the volume,
    and the backward pass of its group normalisation takes five times as long as that of a batch normalisation of each
    image. On a GPU autocast computes group normalisation in float32, which doubles the memory kept.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:
            return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # for any number of images
        if traced or not torch.is_grad_enabled():
            return super().forward(x)
        images = x.movedim(1, -1)
        normalised = [
            functional.batch_norm(voxels, None, None, self.weight, self.bias, training=True, eps=self.eps)
            for voxels in images.flatten(1, -2)
        ]
        return torch.stack(normalised).view(images.shape).movedim(-1, 1)


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


def separable_downsampling(conv_op: ConvOp, above: int, below: int, stride: tuple[int, ...]) -> nn.Sequential:
    """From `above` to `below` channels: depthwise over 3 voxels along an axis of stride 2, then pointwise.

    Neighbours overlap, and there are fewer weights than in a convolution as wide as its stride.
    """
    size = tuple(s + 1 - s % 2 for s in stride)  # odd, so that padding keeps the size
    padding = tuple(n // 2 for n in size)
    depthwise = conv_op(above, above, size, stride=stride, padding=padding, groups=above)
    return nn.Sequential(depthwise, conv_op(above, below, 1))
