"""Foreign networks in plans: what they take over from those of a U-Net, and the memory that planners count."""

from typing import Any

import pytest

from nnunetv2_factorizer.comparison.registry import TRANSBTS
from nnunetv2_factorizer.families import FAMILIES
from nnunetv2_factorizer.planning.budget import peak_of_step
from tests.comparison.small import SMALL

UNET = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
STRIDES = [[1, 1, 1], [2, 2, 2], [2, 2, 2]]


@pytest.mark.parametrize("name", SMALL)
def test_plans_of_a_unet_say_all_that_is_needed(name: str) -> None:
    family, variant = name.split()
    choices = FAMILIES[family].variants[variant]
    kwargs = FAMILIES[family].arch_kwargs(UNET, {"strides": STRIDES, "n_stages": 3}, [40] * 3, [1.0] * 3, choices)
    assert kwargs == {"strides": STRIDES, "patch_size": [40] * 3, **choices}


def test_the_memory_of_the_padding_counts(capsys: pytest.CaptureFixture[str]) -> None:
    def peak(patch: int) -> int:
        kwargs: dict[str, Any] = {"strides": STRIDES, "patch_size": [patch] * 3, **SMALL["TransBTS Paper"]}
        return peak_of_step(TRANSBTS, kwargs, [patch] * 3, 2, 3, batch=2)

    assert peak(34) > 1.3 * peak(32)
    assert capsys.readouterr().out == "", "a planner tries many patches, and says nothing of them"
