"""TransBTS (Wang et al., MICCAI 2021, https://arxiv.org/abs/2103.04430), written afresh from the paper.

A convolutional encoder halves the image three times, a Transformer of L = 4 layers works on what is left (section
"Network Encoder"), a convolutional decoder goes back ("Network Decoder"). A token has d = 512 channels, there are 8
heads, and 4096 channels inside the MLPs. There is no deep supervision.

The paper leaves out how many convolutions a stage has. Residual blocks, one at full resolution, then two, two and four,
give its 33 million parameters. Ours: the adapter; group norm of 8 groups everywhere, no dropout, both as nnU-Net would
have it with batches of two; one position embedding for each token of the plan's patch.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from nnunetv2_factorizer.comparison.attention import attend
from nnunetv2_factorizer.comparison.padded import Padded, one_head

BLOCKS = (1, 2, 2, 4)
"""Residual blocks of each stage of the encoder."""
GROUPS = 8


class TransBTS(Padded):
    """TransBTS for the patch of a plan, in 3D.

    Args:
        input_channels: of the image.
        num_classes: output channels.
        patch_size: of the plan, in voxels.
        strides: of the plan.
        width: channels at full resolution, a multiple of 8; they double three times.
        embedding_dim: d, channels of a token.
        mlp_dim: channels inside the MLPs.
        num_heads: of the attention.
        num_layers: L of the Transformer.
        deep_supervision: one output either way.

    Raises:
        UserError: the patch is not one in 3D.
    """

    multiple = 8
    dimensions = (3,)
    one_size = True
    key_to_encoder = "encoder"
    key_to_stem = "stem"
    key_to_lpe = "position_embedding"
    keys_to_in_proj = ("stem",)

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        patch_size: Sequence[int],
        strides: Sequence[Sequence[int]],
        width: int = 16,
        embedding_dim: int = 512,
        mlp_dim: int = 4096,
        num_heads: int = 8,
        num_layers: int = 4,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__(input_channels, patch_size, strides, deep_supervision)
        widths = [width * 2**stage for stage in range(len(BLOCKS))]
        self.stem = nn.Conv3d(input_channels, width, 3, padding=1)
        self.encoder = nn.ModuleList(_blocks(channels, n) for channels, n in zip(widths, BLOCKS, strict=True))
        self.downs = nn.ModuleList(nn.Conv3d(above, below, 3, stride=2, padding=1) for above, below in pairwise(widths))
        self.grid = [voxels // self.multiple for voxels in self.padded_size]
        tokens = self.grid[0] * self.grid[1] * self.grid[2]
        self.embedding = _normed_conv(widths[-1], embedding_dim)
        self.position_embedding = nn.Parameter(torch.zeros(1, tokens, embedding_dim))
        self.transformer = nn.Sequential(
            *(TransformerLayer(embedding_dim, mlp_dim, num_heads) for _ in range(num_layers)),
            nn.LayerNorm(embedding_dim),
        )
        self.mapping = nn.Sequential(
            nn.Conv3d(embedding_dim, widths[-1], 3, padding=1),
            _normed_conv(widths[-1], widths[-1]),
            Residual(widths[-1]),
        )
        self.ups = nn.ModuleList(Up(channels) for channels in widths[:0:-1])
        self.decoder = one_head(nn.Conv3d(width, num_classes, 1), 3, deep_supervision)

    def features(self, x: Tensor) -> list[Tensor]:
        x = self.encoder[0](self.stem(x))
        skips = []
        for down, stage in zip(self.downs, self.encoder[1:], strict=True):
            skips.append(x)
            x = stage(down(x))
        tokens = self.embedding(x).flatten(2).transpose(1, 2) + self.position_embedding
        x = self.mapping(self.transformer(tokens).transpose(1, 2).unflatten(2, self.grid))
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = up(x, skip)
        return [x]


class TransformerLayer(nn.Module):
    """Attention of all tokens `(B, N, C)` to all, then an MLP, norms before each."""

    def __init__(self, channels: int, mlp_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, channels))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.attention_norm(x)).chunk(3, -1)
        x = x + self.out(attend(q, k, v, self.num_heads))
        return x + self.mlp(self.mlp_norm(x))


class Residual(nn.Module):
    """Two convolutions of `(B, C, *S)`, norm and ReLU before each, and the input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_normed_conv(channels, channels), _normed_conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Up(nn.Module):
    """Twice the resolution and half the channels of `(B, C, *S)`, joined with the encoder's `(B, C / 2, *2S)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = nn.Conv3d(channels, half, 1)
        self.up = nn.ConvTranspose3d(half, half, 2, stride=2)
        self.join = nn.Conv3d(channels, half, 1)
        self.block = Residual(half)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.block(self.join(torch.cat((skip, self.up(self.reduce(x))), 1)))


def _normed_conv(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.GroupNorm(GROUPS, channels), nn.ReLU(), nn.Conv3d(channels, out, 3, padding=1))


def _blocks(channels: int, number: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(channels) for _ in range(number)))
