"""The estimate for the planner against what autograd really keeps."""

from typing import Any

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

from benchmarks.measure import mib_kept
from nnunetv2_factorizer.network import Factorizer


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"matricize": "local"},
        {"matricize": "global"},
        {"local_path": "depthwise"},
        {"mlp_ratio": 4},
        {"mlp_ratio": 0},
        {"nmf": False},
        {"rank": 2},
        {"rank": 2, "solver": "mu"},
        {"memory": "fast"},
        {"memory": "fast", "mlp_ratio": 4},
    ],
)
@pytest.mark.parametrize("patch_size", [[32, 48, 32], [128, 128]])
def test_feature_map_size_is_proportional_to_the_memory_of_the_unet(
    patch_size: list[int], changes: dict[str, Any]
) -> None:
    dims = len(patch_size)
    conv, norm = (nn.Conv2d, nn.InstanceNorm2d) if dims == 2 else (nn.Conv3d, nn.InstanceNorm3d)
    widths, strides = [16, 32, 64], [1, 2, 2]
    unet = PlainConvUNet(
        1, 3, widths, conv, 3, strides, 2, 2, 2, conv_bias=True, norm_op=norm, norm_op_kwargs={"affine": True},
        nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=True,
    )  # fmt: skip
    factorizer = Factorizer(1, 2, 3, widths, conv, strides, patch_size=patch_size, deep_supervision=True, **changes)
    x = torch.randn(1, 1, *patch_size)
    measured = mib_kept(factorizer, x) / mib_kept(unet, x)
    estimated = factorizer.compute_conv_feature_map_size(patch_size) / unet.compute_conv_feature_map_size(patch_size)
    assert estimated == pytest.approx(measured, rel=0.15)
