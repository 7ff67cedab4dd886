"""The plain U-Net of the Factorizer's paper: nnU-Net's block of two convolutions in the Factorizer's U-shape.

Paper: Ashtari et al., Medical Image Analysis 84, 2023, the row "nnU-Net" of tables 1 and 2; the block is that of
Isensee et al., nnU-Net, Nature Methods 18, 2021, with group in place of instance normalisation. It is not nnU-Net's own
network: that one has a strided convolution in the block in place of a downsampling of its own.

A block is `LeakyReLU(GroupNorm(Conv(x)))`, twice, with 8 groups; there is no position embedding.

The paper's 28.7 M parameters decide what its text leaves open. In the decoder the first convolution takes skip and
upsampled features side by side, as in nnU-Net. With the Factorizer's pointwise linear map before it there would be
26.3 M. Ours: the convolutions have no bias, since the normalisation adds one a channel (they would be 2,944 of 28.7 M);
kernels follow nnU-Net's plans, which have [1, 3, 3] where slices are thick.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from torch import nn
from torch.nn.modules.conv import _ConvNd

from nnunetv2_factorizer.factorization.checks import check_count
from nnunetv2_factorizer.network.convolution import SLOPE
from nnunetv2_factorizer.network.settings import ConvOp, check_kernel, parse_shape, per_axis, per_stage
from nnunetv2_factorizer.network.u_shape import Stage, UShape

GROUPS = 8


class PlainBlock(nn.Sequential):
    """`LeakyReLU(GroupNorm(Conv(x)))`, twice: `(B, before, *S)` to `(B, channels, *S)`."""

    def __init__(self, conv_op: ConvOp, before: int, channels: int, kernel: tuple[int, ...]) -> None:
        super().__init__(
            *normalised_convolution(conv_op, before, channels, kernel),
            nn.LeakyReLU(SLOPE, inplace=True),
            *normalised_convolution(conv_op, channels, channels, kernel),
            nn.LeakyReLU(SLOPE, inplace=True),
        )


def normalised_convolution(conv_op: ConvOp, before: int, channels: int, kernel: tuple[int, ...]) -> list[nn.Module]:
    """A convolution that keeps the size, and its group normalisation."""
    padding = tuple(n // 2 for n in kernel)
    return [conv_op(before, channels, kernel, padding=padding, bias=False), nn.GroupNorm(GROUPS, channels)]


class PlainUNet(UShape):
    """A U-Net of plain blocks for any nnU-Net plan, one a stage: `(B, input_channels, *S)` to `(B, num_classes, *S)`.

    Args:
        input_channels: image channels.
        num_classes: output channels.
        n_stages: resolutions, at least 2.
        features_per_stage: channels, one number or one a stage; divisible by 8.
        conv_op: `torch.nn.Conv2d` or `Conv3d` (or 1d), or its dotted name.
        strides: of each stage with respect to the one before it, a number or one number an axis.
        kernel_sizes: of the convolutions in voxels, odd; one number, or for each stage a number or one number an axis.
        deep_supervision: return the logits of each decoder stage, highest resolution first, in place of one tensor.

    Raises:
        ValueError: an argument is out of range; the message names it, its value and what is accepted.
    """

    block: ClassVar[Callable[..., nn.Module]] = PlainBlock
    """Called with convolution class, channels before and after, and kernel."""

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        n_stages: int,
        features_per_stage: int | Sequence[int],
        conv_op: str | type[_ConvNd],
        strides: int | Sequence[int | Sequence[int]],
        kernel_sizes: int | Sequence[int | Sequence[int]] = 3,
        deep_supervision: bool = False,
    ) -> None:
        conv, parsed_strides = parse_shape(n_stages, conv_op, strides)
        stages = []
        widths = per_stage("features_per_stage", features_per_stage, n_stages)
        for width, kernel_size in zip(widths, per_stage("kernel_sizes", kernel_sizes, n_stages), strict=True):
            kernel = per_axis("kernel_sizes", kernel_size, len(parsed_strides[0]))
            check_kernel(kernel)
            check_count("features_per_stage", width)
            if width % GROUPS:
                raise ValueError(
                    f"features_per_stage must be divisible by {GROUPS}, the groups of the normalisation, got {width}."
                )
            stage = Stage(
                channels=width,
                conv_op=conv,
                block=partial(self.block, conv, width, width, kernel),
                joining_block=partial(self.block, conv, 2 * width, width, kernel),
            )
            stages.append(stage)
        one_each = [1] * n_stages
        super().__init__(
            input_channels, num_classes, stages, parsed_strides, one_each, one_each[1:], None, deep_supervision
        )
