"""Dense and separable convolutions, for the parts of a Factorizer that are not factorized (ours)."""

from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.network.settings import BlockSettings, ConvOp

SLOPE = 0.01
"""Of the leaky ReLU for negative numbers, as in nnU-Net."""


class ConvolutionBlock(nn.Module):
    """`y = LeakyReLU(x + Norm(Conv(LeakyReLU(Norm(Conv(x))))))` on `(B, C, *S)`, a residual block of 3 voxels an axis.

    `Norm` is instance normalisation. It is written as group normalisation with a group a channel, which PyTorch
    computes in channels-last memory without a copy.
    """

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        channels = settings.channels
        self.conv1 = settings.conv_op(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(channels, channels)
        self.conv2 = settings.conv_op(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.leaky_relu(self.norm1(self.conv1(x)), SLOPE)
        return functional.leaky_relu(x + self.norm2(self.conv2(y)), SLOPE)


def separable_downsampling(conv_op: ConvOp, above: int, below: int, stride: tuple[int, ...]) -> nn.Sequential:
    """From `above` to `below` channels: depthwise over 3 voxels along an axis with a stride, then pointwise.

    Neighbours overlap, and there are fewer weights than in a convolution as wide as its stride.
    """
    size = tuple(3 if s > 1 else 1 for s in stride)
    padding = tuple(n // 2 for n in size)
    return nn.Sequential(
        conv_op(above, above, size, stride=stride, padding=padding, groups=above), conv_op(above, below, 1)
    )
