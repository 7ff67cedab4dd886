"""nnFormer (Zhou et al., IEEE TIP 2023, https://arxiv.org/abs/2109.03201), written afresh from the paper.

Section "Encoder": four convolutions make a quarter of the resolution; then, two layers a stage, attention in local
volumes of 4^3 tokens (LV-MSA), every second time shifted (SLV-MSA). Section "Bottleneck": three stages of attention to
all tokens (GV-MSA). Section "Decoder": the first layer of a stage is skip attention. Deep supervision at three
resolutions; transposed convolutions by four ("patch expanding") are the heads.

The paper leaves open what the result of skip attention is added to: here to both maps, decoder's and encoder's. The
biases of global attention are as many as the patch needs. Ours: the adapter, no stochastic depth, heads only where
nnU-Net's plan has a decoder stage.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from nnunetv2_factorizer.comparison.padded import Padded, heads_for
from nnunetv2_factorizer.comparison.volume_attention import TransformerLayer, Volume
from nnunetv2_factorizer.network.layers import ChannelLayerNorm

LOCAL_STAGES = 2
"""At the highest resolutions; below, attention is global."""
LOCAL_VOLUME = (4, 4, 4)
PATCH = 4
"""Voxels an axis of a token of the first stage."""


class NNFormer(Padded):
    """nnFormer for the patch of a plan, in 3D.

    Args:
        input_channels: of the image.
        num_classes: output channels.
        patch_size: of the plan, in voxels.
        strides: of the plan.
        embedding_dim: channels of the first stage; they double in each of the other three.
        num_heads: of each stage.
        deep_supervision: how `decoder.deep_supervision` starts.

    Raises:
        UserError: the patch is not one in 3D, or the plan cannot be supervised deeply with it.
    """

    multiple = 32
    dimensions = (3,)
    one_size = True
    has_deep_supervision = True
    key_to_encoder = "encoder"
    key_to_stem = "stem"
    keys_to_in_proj = ("stem.0",)

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        patch_size: Sequence[int],
        strides: Sequence[Sequence[int]],
        embedding_dim: int = 192,
        num_heads: Sequence[int] = (6, 12, 24, 48),
        deep_supervision: bool = False,
    ) -> None:
        super().__init__(input_channels, patch_size, strides, deep_supervision)
        widths = [embedding_dim * 2**stage for stage in range(len(num_heads))]
        grids: list[Volume] = []
        for stage in range(len(widths)):
            d, h, w = (voxels // (PATCH * 2**stage) for voxels in self.padded_size)
            grids.append((d, h, w))
        stages = list(zip(widths, num_heads, grids, range(len(widths)), strict=True))
        self.stem = nn.Sequential(
            *_normed_conv(input_channels, embedding_dim // 2, stride=2),
            *_normed_conv(embedding_dim // 2, embedding_dim // 2),
            *_normed_conv(embedding_dim // 2, embedding_dim, stride=2),
            nn.Conv3d(embedding_dim, embedding_dim, 3, padding=1),
        )
        self.encoder = nn.ModuleList(Stage(*stage, skip=False) for stage in stages)
        self.downs = nn.ModuleList(
            nn.Sequential(ChannelLayerNorm(width), nn.Conv3d(width, 2 * width, 3, stride=2, padding=1))
            for width in widths[:-1]
        )
        self.ups = nn.ModuleList(
            nn.Sequential(ChannelLayerNorm(width), nn.ConvTranspose3d(width, width // 2, 2, stride=2))
            for width in widths[:0:-1]
        )
        self.upwards = nn.ModuleList(Stage(*stage, skip=True) for stage in stages[-2::-1])
        self.decoder = heads_for(
            strides,
            len(widths) - 1,
            lambda level: nn.ConvTranspose3d(widths[level], num_classes, PATCH, stride=PATCH),
            deep_supervision,
        )

    def features(self, x: Tensor) -> list[Tensor]:
        maps = [self.encoder[0](self.stem(x))]
        for down, stage in zip(self.downs, self.encoder[1:], strict=True):
            maps.append(stage(down(maps[-1])))
        x, *skips = reversed(maps)
        maps = []
        for up, stage, skip in zip(self.ups, self.upwards, skips, strict=True):
            x = stage(up(x), skip)
            maps.append(x)
        return maps[::-1]


class Stage(nn.Module):
    """Two layers of `(B, C, *grid)`; with `skip`, the first takes the encoder's map as well."""

    def __init__(self, width: int, num_heads: int, grid: Volume, stage: int, skip: bool) -> None:
        super().__init__()
        local = stage < LOCAL_STAGES
        volume = LOCAL_VOLUME if local else grid
        self.first = TransformerLayer(width, num_heads, grid, volume, skip=skip)
        self.second = TransformerLayer(width, num_heads, grid, volume, shifted=local)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        return self.second(self.first(x, skip))


def _normed_conv(channels: int, out: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv3d(channels, out, 3, stride=stride, padding=1), nn.GELU(), ChannelLayerNorm(out)
