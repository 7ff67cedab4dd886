"""MedNeXt (Roy et al., MICCAI 2023, https://arxiv.org/abs/2303.09975), whose layers are MONAI's.

A U-shape of ConvNeXt blocks, also where the resolution changes (sections 2.1 and 2.2), with deep supervision at five
resolutions. The variants S, B, M and L are those of section 2.4, with kernels of 3^d; the larger kernels, which are
trained from the smaller (UpKern, section 2.3), are left out.

Ours: the adapter; heads only where nnU-Net's plan has a decoder stage; outputs in evaluation mode, too, which nnU-Net's
validation asks for and MONAI does not give; float32 for the layers that no norm is before. From the image to the logits
runs a path of residuals without a norm, so that a single bright voxel can make gradients overflow in float16.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nnunetv2_factorizer.comparison.monai_networks import monai_network
from nnunetv2_factorizer.comparison.padded import CONV, Padded, heads_for


class MedNeXt(Padded):
    """MONAI's MedNeXt for any patch.

    Args:
        input_channels: of the image.
        num_classes: output channels.
        patch_size: of the plan, in voxels.
        strides: of the plan.
        init_filters: channels at full resolution.
        kernel_size: of the depthwise convolutions.
        encoder_expansion_ratio: of the channels inside the blocks of the four encoder stages.
        bottleneck_expansion_ratio: of those in the bottleneck.
        decoder_expansion_ratio: of those of the four decoder stages, lowest resolution first.
        blocks_down: blocks of the encoder stages.
        blocks_bottleneck: of the bottleneck.
        blocks_up: of the decoder stages.
        deep_supervision: how `decoder.deep_supervision` starts.

    Raises:
        UserError: MONAI is not installed, or the plan cannot be supervised deeply with this patch.
    """

    multiple = 16
    lowest_voxels = 2
    has_deep_supervision = True
    key_to_encoder = "body.enc_stages"
    key_to_stem = "body.stem"
    keys_to_in_proj = ("body.stem.layer",)

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        patch_size: Sequence[int],
        strides: Sequence[Sequence[int]],
        init_filters: int = 32,
        kernel_size: int = 3,
        encoder_expansion_ratio: Sequence[int] = (2, 2, 2, 2),
        bottleneck_expansion_ratio: int = 2,
        decoder_expansion_ratio: Sequence[int] = (2, 2, 2, 2),
        blocks_down: Sequence[int] = (2, 2, 2, 2),
        blocks_bottleneck: int = 2,
        blocks_up: Sequence[int] = (2, 2, 2, 2),
        deep_supervision: bool = False,
    ) -> None:
        super().__init__(input_channels, patch_size, strides, deep_supervision)
        num_axes = len(patch_size)
        self.body = monai_network("mednext").MedNeXt(
            spatial_dims=num_axes,
            init_filters=init_filters,
            in_channels=input_channels,
            out_channels=num_classes,
            encoder_expansion_ratio=encoder_expansion_ratio,
            decoder_expansion_ratio=decoder_expansion_ratio,
            bottleneck_expansion_ratio=bottleneck_expansion_ratio,
            kernel_size=kernel_size,
            use_residual_connection=True,
            blocks_down=blocks_down,
            blocks_bottleneck=blocks_bottleneck,
            blocks_up=blocks_up,
        )
        del self.body.out_0
        self.body.stem = Float32(self.body.stem)
        for block in [*self.body.down_blocks, *self.body.up_blocks]:
            block.res_conv = Float32(block.res_conv)
        conv = CONV[num_axes]
        self.decoder = heads_for(
            strides, 5, lambda level: Float32(conv(init_filters * 2**level, num_classes, 1)), deep_supervision
        )

    def features(self, x: Tensor) -> list[Tensor]:
        x, skips = self.body.stem(x), []
        for stage, down in zip(self.body.enc_stages, self.body.down_blocks, strict=True):
            skips.append(stage(x))
            x = down(skips[-1])
        maps = [self.body.bottleneck(x)]
        for up, stage, skip in zip(self.body.up_blocks, self.body.dec_stages, reversed(skips), strict=True):
            maps.append(stage(up(maps[-1]) + skip))
        return maps[::-1]


class Float32(nn.Module):
    """A layer of a tensor `(B, C, *S)` in float32; what it gives has the precision that autocast asks for."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        with torch.autocast(device, enabled=False):
            return self.layer(x.float()).to(dtype)
