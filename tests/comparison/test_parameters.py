"""The numbers of parameters, without memory for them: those that the Factorizer's paper and the authors give."""

import pytest
import torch

from nnunetv2_factorizer.families import FAMILIES

STRIDES = [[1, 1, 1]] + [[2, 2, 2]] * 4
BRATS, ISLES = (4, 3, [128] * 3), (2, 1, [64] * 3)
"""Channels of the image, of the output, and the patch, of the paper's two data sets."""
UNUSED_NORMS = 12 * 2 * 768
"""Of UNETR, in MONAI: left out here."""


def millions(family: str, variant: str, data: tuple[int, int, list[int]]) -> float:
    channels, classes, patch_size = data
    kwargs = FAMILIES[family].variants[variant]
    with torch.device("meta"):
        network = FAMILIES[family].network_class(channels, classes, patch_size=patch_size, strides=STRIDES, **kwargs)
    return sum(p.numel() for p in network.parameters()) / 1e6


@pytest.mark.parametrize(
    ("family", "variant", "data", "expected"),
    [
        ("UNETR", "Paper", BRATS, 111.47),
        ("UNETR", "Paper", ISLES, 104.84),
        ("SwinUNETR", "Paper", BRATS, 62.19),
        ("MedNeXt", "S", BRATS, 5.55),
        ("MedNeXt", "B", BRATS, 10.51),
        ("MedNeXt", "M", BRATS, 17.53),
        ("MedNeXt", "L", BRATS, 61.73),
    ],
)
def test_monais_networks_have_them_exactly(
    family: str, variant: str, data: tuple[int, int, list[int]], expected: float
) -> None:
    unused = UNUSED_NORMS / 1e6 if family == "UNETR" else 0
    assert round(millions(family, variant, data) + unused, 2) == expected


@pytest.mark.parametrize(
    ("family", "data", "expected"),
    [
        ("NNFormer", BRATS, 149.4),
        ("NNFormer", ISLES, 149.2),
        ("TransBTS", BRATS, 33.0),
        ("TransBTS", ISLES, 31.0),
    ],
)
def test_those_written_from_papers_have_them_to_one_percent(
    family: str, data: tuple[int, int, list[int]], expected: float
) -> None:
    assert millions(family, "Paper", data) == pytest.approx(expected, rel=0.01)


def test_v2_of_swin_unetr_has_residual_convolutions_besides() -> None:
    assert millions("SwinUNETR", "V2", BRATS) > millions("SwinUNETR", "Paper", BRATS) + 5
