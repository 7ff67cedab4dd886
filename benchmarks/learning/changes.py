"""Changes to a built Factorizer that could make it learn faster, one function each."""

from collections.abc import Callable
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.network.convolution import SLOPE, ConvolutionBlock, SeparableDownsampling


class Residual(nn.Module):
    """`number` dense convolutions over 3 voxels an axis, each normalised over space, around them a skip connection."""

    def __init__(self, channels: int, number: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv3d(channels, channels, 3, padding=1, bias=False) for _ in range(number))
        self.norms = nn.ModuleList(nn.InstanceNorm3d(channels, affine=True) for _ in range(number))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y))
            if i < len(self.convs) - 1:
                y = functional.leaky_relu(y, SLOPE)
        return functional.leaky_relu(x + y, SLOPE)


class Normalised(nn.Module):
    """A local path whose output is normalised over space."""

    def __init__(self, local_path: nn.Module, channels: int) -> None:
        super().__init__()
        self.local_path, self.norm = local_path, nn.InstanceNorm3d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.norm(self.local_path(x)), SLOPE)


def dense(stages: int, number: int) -> Callable[[Factorizer], None]:
    """A residual block of `number` convolutions in place of each Factorizer block of the highest resolutions."""

    def change(network: Any) -> None:
        for level in range(stages):
            for half, index in ((network.encoder, level), (network.decoder, -1 - level)):
                channels = half.stages[index][0].norm1.normalized_shape[0]
                half.stages[index] = nn.Sequential(Residual(channels, number))

    return change


def normalised(network: Any) -> None:
    for block in network.blocks.values():
        if block.local_path is not None:
            block.local_path = Normalised(block.local_path, block.norm1.normalized_shape[0])


def separable(network: Any) -> None:
    """Overlapping downsampling, also where convolutions are below."""
    for i, conv in enumerate(network.encoder.downsamplings):
        layer = SeparableDownsampling(nn.Conv3d, conv.in_channels, conv.out_channels, conv.stride)
        network.encoder.downsamplings[i] = layer


def both(*changes: Callable[[Factorizer], None]) -> Callable[[Factorizer], None]:
    def change(network: Factorizer) -> None:
        for one in changes:
            one(network)

    return change


class Scale(nn.Module):
    """LayerScale: a factor for each channel of `(B, C, *S)`, small in the beginning (Touvron et al., ICCV 2021)."""

    def __init__(self, channels: int, start: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), start))

    def forward(self, x: Tensor) -> Tensor:
        return (x.movedim(1, -1) * self.gamma).movedim(-1, 1)


class Dropped(nn.Module):
    """Stochastic depth: in training a residual block is left out for some of the images (Huang et al., ECCV 2016)."""

    def __init__(self, block: nn.Module, probability: float) -> None:
        super().__init__()
        self.block, self.drop = block, DropPath(probability)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.block(x) - x)


class ResponseNorm(nn.Module):
    """Global response normalisation of `(B, C, *S)` (ConvNeXt V2, Woo et al., CVPR 2023, algorithm 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x.movedim(1, -1)
        norm = x.flatten(1, -2).norm(dim=1)
        norm = norm / (norm.mean(dim=-1, keepdim=True) + 1e-6)
        norm = norm.view(len(x), *[1] * (x.ndim - 2), -1)
        return (self.gamma * (x * norm) + self.beta + x).movedim(-1, 1)


def scaled(start: float) -> Callable[[Factorizer], None]:
    """Each residual branch starts small: LayerScale, and in dense blocks the weight of the last norm."""

    def change(network: Any) -> None:
        for module in list(network.modules()):
            if isinstance(module, ConvolutionBlock):
                nn.init.constant_(module.norm2.weight, start)
        for block in network.blocks.values():
            channels = block.norm1.normalized_shape[0]
            block.mixer.out_proj = nn.Sequential(block.mixer.out_proj, Scale(channels, start))
            block.mlp.append(Scale(channels, start))

    return change


def stochastic_depth(probability: float) -> Callable[[Factorizer], None]:
    def change(network: Any) -> None:
        for stage in (*network.encoder.stages, *network.decoder.stages):
            for index, block in enumerate(stage):
                stage[index] = Dropped(block, probability)

    return change


def response_norm(network: Any) -> None:
    """In each MLP after the GELU; it needs the whole volume, so that nothing is recomputed in chunks."""
    for block in network.blocks.values():
        block.mlp.insert(2, ResponseNorm(block.mlp[0].out_features))
        block.recompute = False
