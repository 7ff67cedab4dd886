"""All that is registered, and nnU-Net's own networks, pass the suite. A new variant is tested by being registered."""

from typing import Any

import pytest
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

from nnunetv2_factorizer.conformance import CASES, check_nnunet_architecture
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.network import Factorizer

ARCHITECTURES: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "PlainConvUNet": (PlainConvUNet, {}),
    "ResidualEncoderUNet": (ResidualEncoderUNet, {}),
} | {name: (Factorizer, choices) for name, choices in FACTORIZER.variants.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_passes(name: str, case: Any) -> None:
    network_class, arch_kwargs = ARCHITECTURES[name]
    # The tracer sees no difference between 3D cases, and takes most of the time.
    skip = ["torch_compile", "torch_export"] if case.name == "3d_anisotropic" else []
    results = check_nnunet_architecture(network_class, arch_kwargs, skip, cases=[case])
    assert [r.check for r in results if r.status == "skipped"] == skip
