"""The Res-U-Net of the Factorizer's paper: residual blocks in the Factorizer's U-shape.

Paper: Ashtari et al., Medical Image Analysis 84, 2023, the row "Res-U-Net" of tables 1 and 2; the block is that of He
et al., "Deep residual learning", CVPR 2016, with group normalisation (8 groups) and leaky ReLU.

    y = LeakyReLU(S(x) + GroupNorm(Conv(LeakyReLU(GroupNorm(Conv(x))))))

`S` is the identity, and where the channels change a pointwise convolution: in the decoder, where a block takes skip
and upsampled features side by side. Its 174,080 parameters are the difference between the paper's 28.7 M (plain) and
28.9 M. All else is that of `comparison.plain`.
"""

from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.comparison.plain import PlainUNet, normalised_convolution
from nnunetv2_factorizer.network.convolution import SLOPE
from nnunetv2_factorizer.network.settings import ConvOp


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut: `(B, before, *S)` to `(B, channels, *S)`."""

    def __init__(self, conv_op: ConvOp, before: int, channels: int, kernel: tuple[int, ...]) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *normalised_convolution(conv_op, before, channels, kernel),
            nn.LeakyReLU(SLOPE, inplace=True),
            *normalised_convolution(conv_op, channels, channels, kernel),
        )
        self.shortcut: nn.Module = nn.Identity()
        if before != channels:
            self.shortcut = conv_op(before, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu_(self.shortcut(x) + self.convolutions(x), SLOPE)


class ResUNet(PlainUNet):
    """A U-Net of residual blocks for any nnU-Net plan; the arguments are those of `PlainUNet`."""

    block = ResidualBlock
