"""What is measured: the networks, the patch and the data type; all of it small where there is no GPU."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.measure import device
from benchmarks.networks import factorizer, plain_unet, residual_unet

GPU = torch.cuda.is_available()

NETWORKS = ("PlainConvUNet", "Hybrid", "Conv", "Swin", "ResEnc-M") if GPU else ("PlainConvUNet", "Hybrid")
"""The first is what the others are compared with; the most decisive first."""

CHANNELS = 4
HALF = torch.float16 if GPU else torch.bfloat16
BACKEND = "inductor" if GPU else "aot_eager"
"""Of `torch.compile`. Inductor's is nnU-Net's; on a CPU it takes minutes."""


@dataclass(frozen=True)
class Setting:
    """A cubic patch, and the widths of the networks for it."""

    patch: int
    batch: int
    unet_features: tuple[int, ...]
    factorizer_features: tuple[int, ...]

    @property
    def patch_size(self) -> tuple[int, int, int]:
        return (self.patch, self.patch, self.patch)


LARGE = Setting(128, 2, (32, 64, 128, 256, 320, 320), (32, 64, 128, 256, 512))
"""What nnU-Net plans for this patch, and the paper's five stages."""
SMALL = Setting(8, 1, (8, 16), (8, 16))
SETTING = LARGE if GPU else SMALL


def build(name: str, deep_supervision: bool) -> nn.Module:
    """One of `NETWORKS` on PyTorch's default device."""
    if name == "PlainConvUNet":
        return plain_unet(CHANNELS, SETTING.unet_features, deep_supervision)
    if name == "ResEnc-M":
        return residual_unet(CHANNELS, SETTING.unet_features, deep_supervision)
    return factorizer(name, CHANNELS, SETTING.factorizer_features, SETTING.patch_size, deep_supervision)


def images(batch: int, patch: int) -> torch.Tensor:
    """`(B, C, *S)`."""
    return torch.randn(batch, CHANNELS, patch, patch, patch, device=device())


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function or a network, as nnU-Net compiles one."""
    result: Callable[..., Any] = torch.compile(function, backend=BACKEND)
    return result
