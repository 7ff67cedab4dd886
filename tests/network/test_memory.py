"""The estimate for the planner against what autograd really keeps."""

from typing import Any

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import Tensor, nn

from nnunetv2_factorizer.network import Factorizer


def bytes_kept(network: nn.Module, patch_size: list[int]) -> int:
    """Bytes of the distinct storages that a forward pass keeps for the backward pass, parameters left out."""
    parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(torch.randn(1, 1, *patch_size))
    return sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in parameters)


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
    measured = bytes_kept(factorizer, patch_size) / bytes_kept(unet, patch_size)
    estimated = factorizer.compute_conv_feature_map_size(patch_size) / unet.compute_conv_feature_map_size(patch_size)
    assert estimated == pytest.approx(measured, rel=0.15)
