"""UNETR (Hatamizadeh et al., WACV 2022, https://arxiv.org/abs/2103.10504), which is MONAI's.

A Vision Transformer over patches of 16^d voxels is the encoder (section 3.1), a decoder of convolutions takes what its
layers 3, 6, 9 and 12 put out. There is no deep supervision. The adapter is ours, and that norms which MONAI makes and
never uses are left out: data-parallel training refuses them.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from nnunetv2_factorizer.comparison.monai_networks import monai_network
from nnunetv2_factorizer.comparison.padded import Padded, one_head


class UNETR(Padded):
    """MONAI's UNETR for the patch of a plan.

    Args:
        input_channels: of the image.
        num_classes: output channels.
        patch_size: of the plan, in voxels.
        strides: of the plan.
        feature_size: channels of the decoder at full resolution; 32 gives the parameters in the Factorizer's paper.
        hidden_size: of the tokens.
        mlp_dim: inside the MLPs.
        num_heads: of the attention.
        deep_supervision: one output either way.

    Raises:
        UserError: MONAI is not installed, or the patch is none.
    """

    multiple = 16
    one_size = True
    key_to_encoder = "body.vit"
    key_to_stem = "body.vit.patch_embedding"
    key_to_lpe = "body.vit.patch_embedding.position_embeddings"
    keys_to_in_proj = (
        "body.vit.patch_embedding.patch_embeddings",
        "body.encoder1.layer.conv1.conv",
        "body.encoder1.layer.conv3.conv",
    )

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        patch_size: Sequence[int],
        strides: Sequence[Sequence[int]],
        feature_size: int = 32,
        hidden_size: int = 768,
        mlp_dim: int = 3072,
        num_heads: int = 12,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__(input_channels, patch_size, strides, deep_supervision)
        num_axes = len(patch_size)
        self.body = monai_network("unetr").UNETR(
            input_channels,
            num_classes,
            self.padded_size,
            feature_size=feature_size,
            hidden_size=hidden_size,
            mlp_dim=mlp_dim,
            num_heads=num_heads,
            spatial_dims=num_axes,
        )
        for block in self.body.vit.blocks:
            block.norm_cross_attn = nn.Identity()
            # Empty tensors that are neither parameters nor buffers: a copy on another device would not take them along.
            block.attn.att_mat = block.attn.causal_mask = None
        self.decoder = one_head(self.body.out, num_axes, deep_supervision)
        self.body.out = nn.Identity()

    def features(self, x: Tensor) -> list[Tensor]:
        return [self.body(x)]
