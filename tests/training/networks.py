"""nnU-Net's own U-Nets and two Factorizers, tiny, as plans name them."""

from typing import Any

from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

from nnunetv2_factorizer.families import FACTORIZER, UNET_IMPORTS
from nnunetv2_factorizer.network import Factorizer
from tests.training.small_trainer import plans

FACTORIZERS = {name: dict(FACTORIZER.variants[name]) for name in ("Conv", "Hybrid")}
NETWORKS = ("PlainConvUNet", "ResidualEncoderUNet", *FACTORIZERS)
UNETS = "dynamic_network_architectures.architectures.unet"


def unet_kwargs(num_axes: int) -> dict[str, Any]:
    """Of both U-Nets, as nnU-Net's plans hold them, without the number of convolutions or blocks."""
    return {
        "n_stages": 3,
        "features_per_stage": [8, 16, 16],
        "conv_op": f"torch.nn.Conv{num_axes}d",
        "kernel_sizes": [[3] * num_axes] * 3,
        "strides": [[1] * num_axes, [1] * (num_axes - 2) + [2, 2], [2] * num_axes],
        "n_conv_per_stage_decoder": [1, 1],
        "conv_bias": True,
        "norm_op": f"torch.nn.InstanceNorm{num_axes}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def network(name: str, num_axes: int) -> nn.Module:
    """Two channels, three classes, deep supervision."""
    conv = {2: nn.Conv2d, 3: nn.Conv3d}[num_axes]
    if name in FACTORIZERS:
        return Factorizer(
            2, 3, 3, [8, 16, 16], conv, [1, 2, 2], head_dim=4, window_size=4, patch_size=[16] * num_axes,
            deep_supervision=True, **FACTORIZERS[name],
        )  # fmt: skip
    norm, nonlin = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[num_axes], nn.LeakyReLU
    kwargs = unet_kwargs(num_axes) | {"conv_op": conv, "norm_op": norm, "nonlin": nonlin}
    if name == "PlainConvUNet":
        return PlainConvUNet(2, num_classes=3, n_conv_per_stage=1, deep_supervision=True, **kwargs)
    return ResidualEncoderUNet(2, num_classes=3, n_blocks_per_stage=1, deep_supervision=True, **kwargs)


def plans_of(name: str) -> dict[str, Any]:
    """The plans of `small_trainer` that name one of the networks."""
    the_plans = plans(**FACTORIZERS.get(name, {}))
    if name not in FACTORIZERS:
        depth = "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage"
        the_plans["configurations"]["3d_fullres"]["architecture"] = {
            "network_class_name": f"{UNETS}.{name}",
            "arch_kwargs": unet_kwargs(3) | {depth: [1, 1, 1]},
            "_kw_requires_import": list(UNET_IMPORTS),
        }
    return the_plans
