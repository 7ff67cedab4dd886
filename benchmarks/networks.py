"""The networks that the benchmarks compare: 3D, three classes, strides of 2 in every stage but the first.

nnU-Net's own come from `dynamic_network_architectures`, which is imported when one is asked for: the Factorizers are
measured where it is absent, too.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.network import Factorizer

CLASSES = 3
FACTORIZERS = {
    **FACTORIZER.variants,
    "Swin, not recomputed": {**FACTORIZER.variants["Swin"], "recompute": False},
    "Hybrid, not recomputed": {**FACTORIZER.variants["Hybrid"], "recompute": False},
}

UNET: dict[str, Any] = {
    "conv_bias": True,
    "norm_op": nn.InstanceNorm3d,
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "nonlin": nn.LeakyReLU,
    "nonlin_kwargs": {"inplace": True},
}


def factorizer(
    name: str, channels: int, features: Sequence[int], patch_size: Sequence[int], deep_supervision: bool
) -> nn.Module:
    """The one of this name in `FACTORIZERS`, with windows of 8 and heads of 8."""
    return Factorizer(
        channels, CLASSES, len(features), features, nn.Conv3d, _strides(features), patch_size=patch_size,
        deep_supervision=deep_supervision, **FACTORIZERS[name],
    )  # fmt: skip


def plain_unet(channels: int, features: Sequence[int], deep_supervision: bool) -> nn.Module:
    """`PlainConvUNet` as nnU-Net plans it."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    unet: nn.Module = PlainConvUNet(
        channels, len(features), features, nn.Conv3d, 3, _strides(features), 2, CLASSES, 2,
        deep_supervision=deep_supervision, **UNET,
    )  # fmt: skip
    return unet


def residual_unet(channels: int, features: Sequence[int], deep_supervision: bool) -> nn.Module:
    """`ResidualEncoderUNet` as nnU-Net's preset ResEnc-M plans it."""
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

    stages = len(features)
    unet: nn.Module = ResidualEncoderUNet(
        channels, stages, features, nn.Conv3d, 3, _strides(features), (1, 3, 4, 6, 6, 6)[:stages], CLASSES,
        (1,) * (stages - 1), deep_supervision=deep_supervision, **UNET,
    )  # fmt: skip
    return unet


def _strides(features: Sequence[int]) -> list[int]:
    return [1] + [2] * (len(features) - 1)
