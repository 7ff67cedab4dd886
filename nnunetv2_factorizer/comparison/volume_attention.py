"""Attention inside volumes of tokens, and the Transformer layer around it (nnFormer, https://arxiv.org/abs/2109.03201)."""

import torch
from einops import rearrange
from torch import Tensor, nn

from nnunetv2_factorizer.comparison.attention import attend
from nnunetv2_factorizer.network.layers import MLP, ChannelLayerNorm

Volume = tuple[int, int, int]


class VolumeAttention(nn.Module):
    """softmax(Q K^T / sqrt(d) + B) V in each volume of a grid; B is learned for each difference of two places.

    With `skip`, keys and values come from the encoder, by one linear map, and the queries are the decoder's tokens as
    they are: the paper's skip attention.

    Args:
        channels: C.
        num_heads: that they are divided among.
        grid: tokens an axis, a multiple of `volume`.
        volume: that is attended to, in tokens an axis; the whole grid for global attention.
        shifted: moves the volumes by half of one, on axes that have more than one.
        skip: whether queries are given.
    """

    places: Tensor
    allowed: Tensor | None

    def __init__(
        self, channels: int, num_heads: int, grid: Volume, volume: Volume, shifted: bool = False, skip: bool = False
    ) -> None:
        super().__init__()
        self.num_heads, self.grid, self.volume = num_heads, grid, volume
        self.shift = [v // 2 if shifted and g > v else 0 for g, v in zip(grid, volume, strict=True)]
        self.project = nn.Linear(channels, (2 if skip else 3) * channels)
        self.out = nn.Linear(channels, channels)
        differences = [2 * v - 1 for v in volume]
        self.bias = nn.Parameter(0.02 * torch.randn(num_heads, differences[0] * differences[1] * differences[2]))
        self.register_buffer("places", _places(volume), persistent=False)
        self.register_buffer(
            "allowed", _allowed(grid, volume, self.shift) if any(self.shift) else None, persistent=False
        )

    def forward(self, x: Tensor, queries: Tensor | None = None) -> Tensor:
        """`(B, C, *grid)` of the tokens, of the encoder's where `queries` of the decoder are given, to the same."""
        projected = self.project(self._divided(x))
        *q, k, v = projected.chunk(3 if queries is None else 2, -1)
        y = attend(q[0] if queries is None else self._divided(queries), k, v, self.num_heads, self._bias(len(x)))
        return self._joined(self.out(y), len(x))

    def _bias(self, batch_size: int) -> Tensor:
        """`(B or 1, num_heads, N, N)`, minus infinity between tokens that only the shift has brought together."""
        bias = self.bias[:, self.places][None]
        if self.allowed is None:
            return bias
        return bias.masked_fill(~self.allowed[:, None], -torch.inf).repeat(batch_size, 1, 1, 1)

    def _divided(self, x: Tensor) -> Tensor:
        """`(B * volumes, tokens of one, C)`."""
        if any(self.shift):
            x = torch.roll(x, [-s for s in self.shift], (2, 3, 4))
        d, h, w = self.volume
        return rearrange(x, "b c (nd d) (nh h) (nw w) -> (b nd nh nw) (d h w) c", d=d, h=h, w=w)

    def _joined(self, x: Tensor, batch_size: int) -> Tensor:
        d, h, w = self.volume
        nd, nh, nw = (g // v for g, v in zip(self.grid, self.volume, strict=True))
        pattern = "(b nd nh nw) (d h w) c -> b c (nd d) (nh h) (nw w)"
        x = rearrange(x, pattern, b=batch_size, nd=nd, nh=nh, nw=nw, d=d, h=h, w=w)
        return torch.roll(x, self.shift, (2, 3, 4)) if any(self.shift) else x


class TransformerLayer(nn.Module):
    """Attention in volumes, then an MLP with four times the channels, norms before each.

    Maps `(B, C, *grid)` to the same; with `skip`, also takes that of the encoder.
    """

    def __init__(
        self, channels: int, num_heads: int, grid: Volume, volume: Volume, shifted: bool = False, skip: bool = False
    ) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = ChannelLayerNorm(channels), ChannelLayerNorm(channels)
        self.attention = VolumeAttention(channels, num_heads, grid, volume, shifted, skip)
        self.mlp = MLP(channels, 4, dropout=0.0)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        if skip is None:
            x = x + self.attention(self.attention_norm(x))
        else:
            x = x + skip + self.attention(self.attention_norm(skip), self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


def _places(volume: Volume) -> Tensor:
    """For each pair of tokens of a volume, which difference of places they have: `(N, N)`."""
    places = torch.cartesian_prod(*(torch.arange(v) for v in volume))
    difference = places[:, None] - places[None] + torch.tensor(volume) - 1
    d, h, w = difference.unbind(-1)
    return (d * (2 * volume[1] - 1) + h) * (2 * volume[2] - 1) + w


def _allowed(grid: Volume, volume: Volume, shift: list[int]) -> Tensor:
    """For each volume of the rolled grid, which pairs of its tokens were neighbours before: `(volumes, N, N)`."""
    wrapped = [torch.arange(g) >= g - s for g, s in zip(grid, shift, strict=True)]
    cells = torch.stack(torch.meshgrid(*wrapped, indexing="ij"))
    d, h, w = volume
    cells = rearrange(cells, "a (nd d) (nh h) (nw w) -> (nd nh nw) (d h w) a", d=d, h=h, w=w)
    return (cells[:, :, None] == cells[:, None]).all(-1)
