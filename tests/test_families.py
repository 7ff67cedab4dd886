"""What the registry says can stand in plans."""

import json

import pytest

from nnunetv2_factorizer.families import FACTORIZER, FAMILIES, UNET_IMPORTS, UNET_READS, Family, family_of

RESIDUAL = Family(
    class_name="dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
    reads=UNET_READS,
    kw_requires_import=UNET_IMPORTS,
)


@pytest.mark.parametrize("family", [*FAMILIES.values(), RESIDUAL])
def test_defaults_are_json(family: Family) -> None:
    assert json.loads(json.dumps(family.defaults)) == family.defaults


def test_a_variant_is_the_same_whichever_its_plans_name() -> None:
    """Its trainer takes plans that name another one, and nothing of that may stay."""
    for variant, choices in FACTORIZER.variants.items():
        for planned in FACTORIZER.variants.values():
            kwargs = FACTORIZER.arch_kwargs(FACTORIZER.class_name, planned, [16] * 3, [1.0] * 3, choices)
            assert kwargs == choices, variant


def test_a_network_is_found_by_the_name_that_plans_have() -> None:
    for family in FAMILIES.values():
        assert family_of(family.class_name) is family
        assert family.network_class.__name__ == family.class_name.rpartition(".")[2]
    assert family_of("torch.hub.load") is None
