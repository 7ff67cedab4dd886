"""The Performer of the Factorizer's paper: linear attention in place of the factorization, all else the Factorizer's.

Paper: Ashtari et al., Medical Image Analysis 84, 2023, the row "Performer" of tables 1 and 2; the attention is FAVOR+
(Choromanski et al., "Rethinking attention with Performers", ICLR 2021), global over all voxels of a stage, in heads of
`head_dim` channels. How it is computed: `network.linear_attention`.

    y = x + O FAVOR+(Q n, K n, V n),  n = LayerNorm(x);      z = y + MLP(LayerNorm(y))

The paper's 6.7 M (BraTS) and 8.2 M parameters (ISLES) are those of the Factorizer and, in each block, two C x C
matrices more: `Q`, `K` and `V` without bias where a Factorizer has one matrix, `O` with a bias; the position embedding
is there. The heads of the segmentation left out, that makes 6,727,968 and 8,244,704.

Ours: the features are drawn once by a fixed seed and kept as a buffer, so that a trained network predicts the same
everywhere. A head has `d log d` of them (theorem 4 of the Performers; the Factorizer's paper gives no number).
"""

from collections.abc import Sequence
from functools import partial
from math import log

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from nnunetv2_factorizer.factorization.checks import check_count
from nnunetv2_factorizer.network.block import MixingBlock
from nnunetv2_factorizer.network.layers import PointwiseLinear
from nnunetv2_factorizer.network.linear_attention import favor_attention, orthogonal_features
from nnunetv2_factorizer.network.settings import check_heads, parse_shape, per_stage, stage_sizes
from nnunetv2_factorizer.network.u_shape import Stage, UShape

SEED = 0


class Attention(nn.Module):
    """FAVOR+ among all voxels of `(B, C, *S)`, for the place of the factorization in a block."""

    def __init__(self, channels: int, head_dim: int) -> None:
        super().__init__()
        self.in_proj = nn.Identity()  # a block has room for one matrix here, not for three
        self.qkv = PointwiseLinear(channels, 3 * channels, bias=False)
        self.out_proj = PointwiseLinear(channels, channels)
        number = max(1, int(head_dim * log(head_dim)))
        self.register_buffer("features", orthogonal_features(number, head_dim, SEED))

    def forward(self, x: Tensor) -> Tensor:
        channels_last = self.qkv(x).movedim(1, -1)
        features = self.get_buffer("features")
        tokens = channels_last.flatten(1, -2).unflatten(-1, (3, -1, features.shape[1]))
        query, key, value = tokens.permute(2, 0, 3, 1, 4).unbind()  # each (B, heads, voxels, head_dim)
        mixed = favor_attention(query, key, value, features)
        return mixed.transpose(1, 2).reshape(*channels_last.shape[:-1], -1).movedim(-1, 1)


class Performer(UShape):
    """A U-shape of blocks with FAVOR+ attention, for any nnU-Net plan, one a stage.

    Maps `(B, input_channels, *S)` to `(B, num_classes, *S)`; memory and time grow with the voxels, not their square.

    Args:
        input_channels: image channels.
        num_classes: output channels.
        n_stages: resolutions, at least 2.
        features_per_stage: channels, one number or one a stage.
        conv_op: `torch.nn.Conv2d` or `Conv3d` (or 1d), or its dotted name.
        strides: of each stage with respect to the one before it, a number or one number an axis.
        patch_size: of the training patch in voxels; of its size at the lowest resolution is the position embedding.
        head_dim: channels of a head.
        mlp_ratio: hidden channels of the MLP over its channels; the paper has 2, and 4 for ISLES.
        deep_supervision: return the logits of each decoder stage, highest resolution first, in place of one tensor.

    Raises:
        ValueError: an argument is out of range; the message names it, its value and what is accepted.
    """

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        n_stages: int,
        features_per_stage: int | Sequence[int],
        conv_op: str | type[_ConvNd],
        strides: int | Sequence[int | Sequence[int]],
        patch_size: Sequence[int],
        head_dim: int = 8,
        mlp_ratio: float = 2,
        deep_supervision: bool = False,
    ) -> None:
        conv, parsed_strides = parse_shape(n_stages, conv_op, strides)
        check_count("head_dim", head_dim)
        if mlp_ratio <= 0:
            raise ValueError(f"mlp_ratio must be positive, got {mlp_ratio}.")
        stages = []
        for width in per_stage("features_per_stage", features_per_stage, n_stages):
            check_count("features_per_stage", width)
            check_heads(width, head_dim)
            block = partial(MixingBlock, width, partial(Attention, width, head_dim), mlp_ratio=mlp_ratio)
            stages.append(Stage(channels=width, conv_op=conv, block=block))
        position_size = stage_sizes(patch_size, parsed_strides)[-1]
        one_each = [1] * n_stages
        super().__init__(
            input_channels, num_classes, stages, parsed_strides, one_each, one_each[1:], position_size, deep_supervision
        )
        self._channels_last()
