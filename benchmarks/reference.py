"""The Factorizer in plain PyTorch, as the paper writes it down: the ground truth, and the slow side of every ratio.

Frozen: nothing here is tuned, and nothing of the package is used. Volumes are `(B, C, *S)`, the shifted windows are
rolled and concatenated, and the NMF is the loop of HALS updates under autograd. Modules are named as in published
checkpoints, so that `state/*` of `../shared/reference/` loads as it is, and `load_reference_state_dict` of the package
takes the weights. A window must divide the patch at every stage.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn


class Linear(nn.Module):
    """A linear map of the channels at each voxel."""

    def __init__(self, channels_in: int, channels_out: int, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels_in, channels_out, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(2)).unflatten(2, x.shape[2:])


class LayerNorm(nn.Module):
    """Over the channels of each voxel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class MLP(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Linear(channels, ratio * channels), nn.GELU(), nn.Identity(), Linear(ratio * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


def hals(x: Tensor, u: Tensor, v: Tensor, num_iters: int) -> tuple[Tensor, Tensor]:
    """NMF of `(..., M, N)` by T sweeps of HALS, from `u` `(M, R)` and `v` `(N, R)`: the two factors.

    `f_r <- max(0, (X g_r - sum_{l != r} f_l (G^T G)_{lr}) / ||g_r||^2)` for each r, then the same for G. Where
    `g_r` is all zero, `f_r` is all ones: the published factors are so.
    """
    for _ in range(num_iters):
        u = _hals_sweep(x, u, v)
        v = _hals_sweep(x.mT, v, u)
    return u, v


def _hals_sweep(x: Tensor, f: Tensor, g: Tensor) -> Tensor:
    f = f.expand(*x.shape[:-1], -1)
    for r in range(f.shape[-1]):
        g_r = g[..., r : r + 1]
        others = [l for l in range(f.shape[-1]) if l != r]
        rest = x @ g_r - f[..., others] @ (g[..., others].mT @ g_r)
        norm2 = g_r.mT @ g_r
        f_r = torch.where(norm2 > 0, torch.relu(rest) / norm2.clamp_min(1e-30), 1.0)
        f = torch.cat([f[..., :r], f_r, f[..., r + 1 :]], dim=-1)
    return f


def multiplicative_update(x: Tensor, u: Tensor, v: Tensor, num_iters: int) -> tuple[Tensor, Tensor]:
    """The same by T multiplicative updates: `F <- F * (X G) / (F G^T G)`, then the same for G."""
    for _ in range(num_iters):
        u = u * (x @ v) / (u @ (v.mT @ v))
        v = v * (x.mT @ u) / (v @ (u.mT @ u))
    return u, v


class HALS(nn.Module):
    """Rank-1 NMF of `(..., M, N)` by T sweeps: `f <- X g / ||g||^2`, then `g <- X^T f / ||f||^2`."""

    def __init__(self, rows: int, columns: int, num_iters: int) -> None:
        super().__init__()
        self.num_iters = num_iters
        self.init = nn.Module()
        self.init.register_buffer("u0", torch.rand(rows, 1))
        self.init.register_buffer("v0", torch.rand(columns, 1))

    def forward(self, x: Tensor) -> Tensor:
        v: Any = self.init.v0
        for _ in range(self.num_iters):
            u = x @ v / (v.mT @ v).clamp_min(1e-30)
            v = x.mT @ u / (u.mT @ u).clamp_min(1e-30)
        return u @ v.mT


class WrappedNMF(nn.Module):
    """Linear, matricize, ReLU, NMF, dematricize, linear, for a volume of the given size."""

    def __init__(
        self, channels: int, size: Sequence[int], matricize: str, window: int, head_dim: int, num_iters: int
    ) -> None:
        super().__init__()
        self.size, self.head_dim, self.matricize = tuple(size), head_dim, matricize
        self.window = self.size if matricize == "global" else tuple(min(window, s) for s in size)
        self.in_proj = Linear(channels, channels, bias=False)
        self.factorize = HALS(head_dim, prod(self.window), num_iters)
        self.out_proj = Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(self.mix(self.in_proj(x)))

    def mix(self, x: Tensor) -> Tensor:
        """The mixing layer: matricize .. dematricize."""
        if self.matricize != "swin":
            return self._from_matrices(self.factorize(torch.relu(self._to_matrices(x))))
        axes, shift = tuple(range(2, x.ndim)), tuple(p // 2 for p in self.window)
        both = torch.cat([self._to_matrices(x), self._to_matrices(torch.roll(x, shift, axes))])
        regular, shifted = self._from_matrices(self.factorize(torch.relu(both))).chunk(2)
        return (regular + torch.roll(shifted, tuple(-s for s in shift), axes)) / 2

    def _to_matrices(self, x: Tensor) -> Tensor:
        n, p = self._lengths()
        return rearrange(x, "b (h e) (n0 p0) (n1 p1) (n2 p2) -> b (h n0 n1 n2) e (p0 p1 p2)", e=self.head_dim, **n, **p)

    def _from_matrices(self, matrices: Tensor) -> Tensor:
        n, p = self._lengths()
        return rearrange(matrices, "b (h n0 n1 n2) e (p0 p1 p2) -> b (h e) (n0 p0) (n1 p1) (n2 p2)", **n, **p)

    def _lengths(self) -> tuple[dict[str, int], dict[str, int]]:
        p = {f"p{axis}": length for axis, length in enumerate(self.window)}
        return {f"n{axis}": s // p[f"p{axis}"] for axis, s in enumerate(self.size)}, p


class Block(nn.Module):
    """`y = x + WrappedNMF(LayerNorm(x))`, `z = y + MLP(LayerNorm(y))`."""

    def __init__(self, channels: int, size: Sequence[int], mlp_ratio: int, **mixer: Any) -> None:
        super().__init__()
        self.norm1 = LayerNorm(channels)
        self.fact = WrappedNMF(channels, size, **mixer)
        self.norm2 = LayerNorm(channels)
        self.mlp = MLP(channels, mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.fact(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PositionEmbedding(nn.Module):
    """Adds one learnable vector a voxel."""

    def __init__(self, channels: int, size: Sequence[int]) -> None:
        super().__init__()
        self.pos = nn.Parameter(torch.zeros(1, channels, *size))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pos


class ReferenceFactorizer(nn.Module):
    """One block a stage, stride 2, in 3D; logits of the `num_heads` highest resolutions, highest first."""

    def __init__(
        self, input_channels: int, num_classes: int, features: Sequence[int], patch_size: Sequence[int],
        matricize: str = "swin", window: int = 8, head_dim: int = 8, num_iters: int = 5, mlp_ratio: int = 2,
        num_heads: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes = [[s // 2**level for s in patch_size] for level in range(len(features))]
        blocks = [
            {"channels": c, "size": s, "mlp_ratio": mlp_ratio, "matricize": matricize, "window": window,
             "head_dim": head_dim, "num_iters": num_iters}
            for c, s in zip(features, sizes, strict=True)
        ]  # fmt: skip
        self.stem = nn.Conv3d(input_channels, features[0], 3, padding=1, bias=False)
        self.encoder = nn.Module()
        self.encoder.blocks = nn.ModuleList()
        for level, block in enumerate(blocks):
            stage = nn.Module()
            stage.downsample = nn.Conv3d(features[level - 1], features[level], 2, 2) if level else nn.Identity()
            stage.block = nn.Module()
            last = level == len(blocks) - 1
            stage.block.pos_embed = PositionEmbedding(features[level], sizes[level]) if last else nn.Identity()
            stage.block.blocks = nn.ModuleList([Block(**block)])  # type: ignore[arg-type]
            self.encoder.blocks.append(stage)
        self.decoder = nn.Module()
        self.decoder.blocks = nn.ModuleList()
        for level in range(len(features) - 2, -1, -1):
            stage = nn.Module()
            stage.upsample = nn.ConvTranspose3d(features[level + 1], features[level], 2, 2)
            stage.block = nn.Module()
            stage.block.adapter = Linear(2 * features[level], features[level], bias=False)
            stage.block.blocks = nn.ModuleList([Block(**blocks[level])])  # type: ignore[arg-type]
            self.decoder.blocks.append(stage)
        self.heads = nn.ModuleList(nn.Conv3d(features[level], num_classes, 1) for level in range(num_heads))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        skips = []
        stages: Any = self.encoder.blocks
        for stage in stages:
            x = stage.block.blocks[0](stage.block.pos_embed(stage.downsample(x)))
            skips.append(x)
        outputs = []
        stages = self.decoder.blocks
        for stage, skip in zip(stages, skips[-2::-1], strict=True):
            x = stage.block.blocks[0](stage.block.adapter(torch.cat([skip, stage.upsample(x)], dim=1)))
            outputs.append(x)
        return [head(feature) for head, feature in zip(self.heads, outputs[::-1], strict=False)]
