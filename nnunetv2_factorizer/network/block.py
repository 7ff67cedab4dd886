"""The Factorizer block: context from a matrix factorization, then a pointwise MLP, both residual."""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from nnunetv2_factorizer.factorization import NMF, GlobalMatricize, LocalMatricize, ShiftedWindowMatricize, mix
from nnunetv2_factorizer.network.depthwise import depthwise
from nnunetv2_factorizer.network.layers import MLP, ChannelLayerNorm, PointwiseLinear
from nnunetv2_factorizer.network.recompute import Recomputed
from nnunetv2_factorizer.network.settings import BlockSettings
from nnunetv2_factorizer.network.voxelwise import AFTER, BEFORE


class WrappedNMF(nn.Module):
    """Pointwise linear, matricize, ReLU, NMF, back to an image, pointwise linear: the parts, on `(B, C, *S)`.

    `forward` is all that looks further than one voxel: from matricize to back to an image. `FactorizerBlock` calls
    `in_proj` and `out_proj` by themselves, with their neighbours; a forward hook sees what is factorized.
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

    def skip(self) -> None:
        """Makes the factorization the identity; its initial factors stay, so that trained weights still fit."""
        self.matricize = None

    def forward(self, x: Tensor) -> Tensor:
        if self.matricize is None:
            return torch.relu(x)
        size = x.shape[2:]
        v0 = self.matricize.fit(self.nmf.v0, size)
        if not self.nmf.closed_form:
            return self.matricize.inverse(self.nmf(self.matricize(torch.relu(x)), v0), size)
        window, shifted = self.matricize.window_at(size), self.matricize.shifted
        return mix(x, v0, head_dim=self.nmf.size[0], window=window, shifted=shifted, num_iters=self.nmf.num_iters)


class MixingBlock(nn.Module):
    """`y = x + Mixer(LayerNorm(x))`, `z = y + MLP(LayerNorm(y))` on `(B, C, *S)`.

    Args:
        channels: `C`.
        mixer: makes a module whose `forward` is all that looks further than one voxel, `(B, C, *S)` to the same, with
            `in_proj` before it and `out_proj` after it, maps of the channels of a voxel.
        local_path: a depthwise convolution, residual, before all else; None leaves it out.
        mlp_ratio: hidden channels of the MLP over its channels; 0 leaves the MLP out.
        dropout: probability in the MLP.
        recompute: the layers of each voxel in the backward pass, in place of keeping what they made.
    """

    def __init__(
        self,
        channels: int,
        mixer: Callable[[], Any],
        *,
        local_path: _ConvNd | None = None,
        mlp_ratio: float,
        dropout: float = 0.0,
        recompute: bool = True,
    ) -> None:
        super().__init__()
        self.local_path = local_path
        self.recompute, self.dropout = recompute, dropout
        self.norm1 = ChannelLayerNorm(channels)
        self.mixer = mixer()
        self.mlp = None
        if mlp_ratio > 0:
            self.norm2 = ChannelLayerNorm(channels)
            self.mlp = MLP(channels, mlp_ratio, dropout)
        after = ("mixer.out_proj", *(("norm2", "mlp") if self.mlp is not None else ()))
        kernels = BEFORE if isinstance(self.mixer.in_proj, nn.Linear) else None
        self.before = Recomputed(self, "_before", ("norm1", "mixer.in_proj"), fused=kernels)
        self.after = Recomputed(self, "_after", after, fused=AFTER if self.mlp is not None else None)

    def forward(self, x: Tensor) -> Tensor:
        if self.local_path is not None:
            x = depthwise(self.local_path, x, residual=True)
        if not self.recompute:
            return self._after(x, self.mixer(self._before(x)))
        mixed = self.mixer(self._voxelwise(self.before, x))
        return self._voxelwise(self.after, x, mixed)

    def _before(self, x: Tensor) -> Tensor:
        """What the block does at each voxel before it mixes them, on `(B, C, *S)` or `(voxels, C)`."""
        return self.mixer.in_proj(self.norm1(x))

    def _after(self, x: Tensor, mixed: Tensor) -> Tensor:
        """What it does after."""
        y = x + self.mixer.out_proj(mixed)
        return y if self.mlp is None else y + self.mlp(self.norm2(y))

    def _voxelwise(self, function: Recomputed, *volumes: Tensor) -> Tensor:
        channels_last = [volume.movedim(1, -1) for volume in volumes]
        voxels = [volume.flatten(0, -2) for volume in channels_last]
        deterministic = not (self.training and self.dropout > 0)
        result = function(*voxels, deterministic=deterministic)
        return result.view(channels_last[0].shape).movedim(-1, 1)


class FactorizerBlock(MixingBlock):
    """`y = x + WrappedNMF(LayerNorm(x))`, `z = y + MLP(LayerNorm(y))` on `(B, C, *S)`.

    With `local_path="depthwise"` a residual depthwise convolution over 3 voxels an axis comes first (ours).
    With `mlp_ratio=0` the MLP is left out, another of its ablations.
    """

    def __init__(self, settings: BlockSettings) -> None:
        channels, local_path = settings.channels, None
        if settings.local_path == "depthwise":
            local_path = settings.conv_op(channels, channels, 3, padding=1, groups=channels)
        super().__init__(
            channels,
            partial(WrappedNMF, settings),
            local_path=local_path,
            mlp_ratio=settings.mlp_ratio,
            dropout=settings.dropout,
            recompute=settings.recompute,
        )


def _make_matricize(settings: BlockSettings) -> GlobalMatricize | LocalMatricize:
    if settings.matricize == "global":
        assert settings.size is not None  # BlockSettings has checked it.
        return GlobalMatricize(settings.head_dim, settings.size)
    kind = {"local": LocalMatricize, "swin": ShiftedWindowMatricize}[settings.matricize]
    return kind(settings.head_dim, settings.window)
