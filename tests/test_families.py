"""What the registry says can stand in plans."""

import json

import pytest

from nnunetv2_factorizer.families import FAMILIES, UNET_IMPORTS, UNET_READS, Family, family_of

RESIDUAL = Family(
    class_name="dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
    reads=UNET_READS,
    kw_requires_import=UNET_IMPORTS,
)


@pytest.mark.parametrize("family", [*FAMILIES.values(), RESIDUAL])
def test_defaults_are_json(family: Family) -> None:
    assert json.loads(json.dumps(family.defaults)) == family.defaults


def test_a_network_is_found_by_the_name_that_plans_have() -> None:
    for family in FAMILIES.values():
        assert family_of(family.class_name) is family
        assert family.network_class.__name__ == family.class_name.rpartition(".")[2]
    assert family_of("torch.hub.load") is None
