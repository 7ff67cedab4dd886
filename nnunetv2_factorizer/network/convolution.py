"""Dense and separable convolutions, for the parts of a Factorizer that are not factorized (ours)."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.network.settings import BlockSettings, ConvOp

INSTANCE_NORMS: dict[Any, Callable[..., nn.Module]] = {
    nn.Conv1d: nn.InstanceNorm1d,
    nn.Conv2d: nn.InstanceNorm2d,
    nn.Conv3d: nn.InstanceNorm3d,
}
SLOPE = 0.01
"""Of the leaky ReLU for negative numbers, as in nnU-Net."""


class ConvolutionBlock(nn.Module):
    """`y = LeakyReLU(x + Norm(Conv(x)))` on `(B, C, *S)`: 3 voxels an axis, every channel normalised over space."""

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        self.conv = settings.conv_op(settings.channels, settings.channels, 3, padding=1, bias=False)
        self.norm = INSTANCE_NORMS[settings.conv_op](settings.channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(x + self.norm(self.conv(x)), SLOPE)


def separable_downsampling(conv_op: ConvOp, above: int, below: int, stride: tuple[int, ...]) -> nn.Sequential:
    """From `above` to `below` channels: depthwise over 3 voxels along an axis with a stride, then pointwise.

    Neighbours overlap, and there are fewer weights than in a convolution as wide as its stride.
    """
    size = tuple(3 if s > 1 else 1 for s in stride)
    padding = tuple(n // 2 for n in size)
    return nn.Sequential(
        conv_op(above, above, size, stride=stride, padding=padding, groups=above), conv_op(above, below, 1)
    )
