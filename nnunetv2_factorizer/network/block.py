"""The Factorizer block: context from a matrix factorization, then a pointwise MLP, both residual."""

from math import prod

import torch
from torch import Tensor, nn

from nnunetv2_factorizer.factorization import NMF, GlobalMatricize, LocalMatricize, ShiftedWindowMatricize
from nnunetv2_factorizer.network.layers import MLP, ChannelLayerNorm, PointwiseLinear
from nnunetv2_factorizer.network.settings import BlockSettings


class WrappedNMF(nn.Module):
    """Pointwise linear, matricize, ReLU, NMF, back to an image, pointwise linear, on `(B, C, *S)`.

    With `nmf=False` the factorization is the identity, one of the paper's ablations.
    """

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        self.in_proj = PointwiseLinear(settings.channels, settings.channels, bias=False)
        self.matricize = None
        if settings.nmf:
            self.matricize = _make_matricize(settings)
            size = (settings.head_dim, prod(self.matricize.window))
            self.nmf = NMF(size, settings.rank, settings.num_iters, settings.solver)
        self.out_proj = PointwiseLinear(settings.channels, settings.channels)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.in_proj(x))
        if self.matricize is not None:
            size = x.shape[2:]
            v0 = self.matricize.fit(self.nmf.v0, size)
            x = self.matricize.inverse(self.nmf(self.matricize(x), v0), size)
        return self.out_proj(x)


class FactorizerBlock(nn.Module):
    """`y = x + WrappedNMF(LayerNorm(x))`, `z = y + MLP(LayerNorm(y))` on `(B, C, *S)`.

    With `local_path="depthwise"` a residual depthwise convolution over 3 voxels an axis comes first (ours).
    With `mlp_ratio=0` the MLP is left out, another of its ablations.
    """

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        channels = settings.channels
        self.local_path = None
        if settings.local_path == "depthwise":
            self.local_path = settings.conv_op(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = ChannelLayerNorm(channels)
        self.mixer = WrappedNMF(settings)
        self.mlp = None
        if settings.mlp_ratio > 0:
            self.norm2 = ChannelLayerNorm(channels)
            self.mlp = MLP(channels, settings.mlp_ratio, settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        if self.local_path is not None:
            x = x + self.local_path(x)
        x = x + self.mixer(self.norm1(x))
        if self.mlp is not None:
            x = x + self.mlp(self.norm2(x))
        return x


def _make_matricize(settings: BlockSettings) -> GlobalMatricize | LocalMatricize:
    if settings.matricize == "global":
        assert settings.size is not None  # BlockSettings has checked it.
        return GlobalMatricize(settings.head_dim, settings.size)
    kind = {"local": LocalMatricize, "swin": ShiftedWindowMatricize}[settings.matricize]
    return kind(settings.head_dim, settings.window)
