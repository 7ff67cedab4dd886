"""Foreign networks in plans: what they take over from those of a U-Net, and the memory that planners count."""

from typing import Any

import pytest

from nnunetv2_factorizer.families import FAMILIES
from nnunetv2_factorizer.planning.budget import peak_of_step
from tests.comparison.small import SMALL

UNET = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
STRIDES = [[1, 1, 1], [2, 2, 2], [2, 2, 2]]


@pytest.mark.parametrize("name", SMALL)
def test_memory_is_counted_for_plans_of_a_unet(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    family_name, variant = name.split()
    family = FAMILIES[family_name]
    choices: dict[str, Any] = {**family.variants[variant], **SMALL[name]}

    def peak(patch: int) -> int:
        size = [patch] * 3
        kwargs = family.arch_kwargs(UNET, {"strides": STRIDES, "n_stages": 3}, size, [1.0] * 3, choices)
        assert kwargs == {"strides": STRIDES, "patch_size": size, **choices}
        return peak_of_step(family, kwargs, size, 2, 3, batch=2)

    assert peak(34) > 1.3 * peak(32), "the padding counts"
    assert capsys.readouterr().out == ""
