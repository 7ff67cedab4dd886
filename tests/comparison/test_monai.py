"""MONAI's networks behind the adapter give what they give alone, and are missed politely."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from monai.networks.nets import unetr
from monai.networks.nets.mednext import MedNeXt as MonaisMedNeXt
from monai.networks.nets.swin_unetr import SwinUNETR as MonaisSwinUNETR
from torch import Tensor, nn

from nnunetv2_factorizer.comparison.mednext import MedNeXt
from nnunetv2_factorizer.comparison.swin_unetr import SwinUNETR
from nnunetv2_factorizer.comparison.unetr import UNETR
from nnunetv2_factorizer.errors import UserError
from tests.comparison.small import SMALL

STRIDES = [[1, 1]] + [[2, 2]] * 5


def load(network: nn.Module, weights: dict[str, Tensor], heads: dict[str, str]) -> None:
    """Weights of the adapted network, under MONAI's names."""
    renamed = {}
    for name, value in weights.items():
        for ours, theirs in heads.items():
            name = name.replace(f"decoder.seg_layers.{ours}", theirs)
        renamed[name.removeprefix("body.").replace(".layer.weight", ".weight").replace(".layer.bias", ".bias")] = value
    missing, unexpected = network.load_state_dict(renamed, strict=False)
    assert not unexpected
    assert all("norm_cross_attn" in name for name in missing)


def test_unetr_is_monais() -> None:
    arguments = SMALL["UNETR Paper"]
    adapted = UNETR(2, 3, [32, 48], STRIDES, **arguments)
    alone = unetr.UNETR(2, 3, (32, 48), spatial_dims=2, **arguments)
    load(alone, adapted.state_dict(), {"0": "out"})
    x = torch.randn(1, 2, 32, 48)
    torch.testing.assert_close(adapted(x), alone(x))


def test_swin_unetr_is_monais_with_zeros_around() -> None:
    arguments = SMALL["SwinUNETR V2"]
    adapted = SwinUNETR(2, 3, [24, 40], STRIDES, use_v2=True, **arguments)
    alone = MonaisSwinUNETR(2, 3, spatial_dims=2, use_v2=True, **arguments)
    load(alone, adapted.state_dict(), {"0": "out"})
    x = torch.zeros(1, 2, 32, 64)
    x[..., :24, :40] = torch.randn(24, 40)
    torch.testing.assert_close(adapted(x[..., :24, :40]), alone(x)[..., :24, :40])


def test_mednext_is_monais_with_all_five_outputs_and_in_evaluation_too() -> None:
    arguments = SMALL["MedNeXt S"]
    adapted = MedNeXt(2, 3, [32, 48], STRIDES, deep_supervision=True, **arguments)
    alone = MonaisMedNeXt(
        2,
        in_channels=2,
        out_channels=3,
        kernel_size=3,
        use_residual_connection=True,
        deep_supervision=True,
        **arguments,
    )
    heads = {"0": "out_0.conv_out"} | {str(level): f"out_blocks.{4 - level}.conv_out" for level in range(1, 5)}
    weights = adapted.state_dict()
    for name in [name for name in weights if name.startswith("decoder.") and name.endswith("weight")]:
        weights[name] = weights[name].transpose(0, 1)  # MONAI's heads are transposed convolutions of one voxel
    load(alone, weights, heads)
    x = torch.randn(1, 2, 32, 48)
    expected = alone.train()(x)
    for training in (True, False):
        torch.testing.assert_close(adapted.train(training)(x), list(expected))


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "monai"]:
        monkeypatch.setitem(sys.modules, name, None)
    arguments: dict[str, Any] = {"patch_size": [16, 16], "strides": STRIDES}
    for network in (UNETR, SwinUNETR, MedNeXt):
        with pytest.raises(
            UserError, match=r"this network is MONAI's(.|\n)*Install the extra `comparison`.*: pip inst"
        ):
            network(1, 2, **arguments)


def test_nothing_of_it_is_imported_before_a_network_is_built() -> None:
    code = (
        "import sys; from nnunetv2_factorizer.families import FAMILIES\n"
        "assert all(family.network_class for family in FAMILIES.values()); assert 'monai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
