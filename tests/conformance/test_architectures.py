"""All that is registered, and nnU-Net's own networks, pass the suite. A new variant is tested by being registered."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

from nnunetv2_factorizer.comparison.padded import Padded
from nnunetv2_factorizer.comparison.registry import COMPARISON
from nnunetv2_factorizer.conformance import CONFIGURATIONS, Configuration, check_nnunet_architecture
from nnunetv2_factorizer.families import FAMILIES

ARCHITECTURES: dict[str, tuple[type[nn.Module], Mapping[str, Any], Sequence[str]]] = {
    "PlainConvUNet": (PlainConvUNet, {}, ()),
    "ResidualEncoderUNet": (ResidualEncoderUNet, {}, ()),
} | {
    f"{name} {variant}": (family.network_class, choices, family.kw_requires_import)
    for name, family in FAMILIES.items()
    for variant, choices in family.variants.items()
    if not issubclass(family.network_class, Padded)  # too large as they are: `tests/comparison/test_conformance.py`
}


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda configuration: configuration.name)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_passes(name: str, configuration: Configuration) -> None:
    network_class, arch_kwargs, kw_requires_import = ARCHITECTURES[name]
    # The tracer sees no difference between 3D configurations, and takes most of the time.
    traced = ("3d",) if name.partition(" ")[0] in COMPARISON else ("2d", "3d")
    skip = [] if configuration.name in traced else ["torch_compile", "torch_export"]
    results = check_nnunet_architecture(
        network_class, arch_kwargs, skip, configurations=[configuration], kw_requires_import=kw_requires_import
    )
    assert [r.check for r in results if r.status == "skipped"] == skip
