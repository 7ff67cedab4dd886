"""Dense and separable convolutions, for the parts of a Factorizer that are not factorized (ours)."""

from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.network.settings import BlockSettings, ConvOp

SLOPE = 0.01
"""Of the leaky ReLU for negative numbers, as in nnU-Net."""


class InstanceNorm(nn.GroupNorm):
    """Normalises each channel of `(B, C, *S)` over space: a group a channel.

    On a CPU PyTorch's group normalisation needs no copy of channels-last memory, and its instance normalisation does.
    On a GPU autocast computes the first in float32, which doubles the memory kept, and the second in half precision.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:
            return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        return super().forward(x)


class ConvolutionBlock(nn.Module):
    """`y = LeakyReLU(x + Norm(Conv(LeakyReLU(Norm(Conv(x))))))` on `(B, C, *S)`: residual, 3 voxels an axis."""

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        channels = settings.channels
        self.conv1 = settings.conv_op(channels, channels, 3, padding=1, bias=False)
        self.norm1 = InstanceNorm(channels)
        self.conv2 = settings.conv_op(channels, channels, 3, padding=1, bias=False)
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
