"""Swin UNETR (Hatamizadeh et al. 2022, https://arxiv.org/abs/2201.01266), which is MONAI's, and its V2.

A Swin Transformer is the encoder (section 3.1), convolutions are the decoder (3.2). V2 (He et al., MICCAI 2023) has a
residual convolution before each stage. There is no deep supervision. The adapter is ours.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from nnunetv2_factorizer.comparison.monai_networks import NumbersOnCpu, monai_network
from nnunetv2_factorizer.comparison.padded import Padded, one_head


class SwinUNETR(Padded):
    """MONAI's Swin UNETR for any patch.

    Args:
        input_channels: of the image.
        num_classes: output channels.
        patch_size: of the plan, in voxels.
        strides: of the plan.
        feature_size: channels at full resolution, a multiple of 12; 48 is the paper's.
        depths: blocks of each of the four stages.
        num_heads: of their attention.
        window_size: of their windows, in tokens an axis.
        use_v2: residual convolutions before each stage.
        deep_supervision: one output either way.

    Raises:
        UserError: MONAI is not installed, or the patch is none.
    """

    multiple = 32
    lowest_voxels = 2
    key_to_encoder = "body.swinViT"
    key_to_stem = "body.swinViT.patch_embed"
    keys_to_in_proj = (
        "body.swinViT.patch_embed.proj",
        "body.encoder1.layer.conv1.conv",
        "body.encoder1.layer.conv3.conv",
    )

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        patch_size: Sequence[int],
        strides: Sequence[Sequence[int]],
        feature_size: int = 48,
        depths: Sequence[int] = (2, 2, 2, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 7,
        use_v2: bool = False,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__(input_channels, patch_size, strides, deep_supervision)
        num_axes = len(patch_size)
        with NumbersOnCpu():
            self.body = monai_network("swin_unetr").SwinUNETR(
                input_channels,
                num_classes,
                feature_size=feature_size,
                depths=depths,
                num_heads=num_heads,
                window_size=window_size,
                use_v2=use_v2,
                spatial_dims=num_axes,
            )
        self.decoder = one_head(self.body.out, num_axes, deep_supervision)
        self.body.out = nn.Identity()

    def features(self, x: Tensor) -> list[Tensor]:
        return [self.body(x)]
