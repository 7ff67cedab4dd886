"""Every foreign family passes the conformance suite, made small.

Where the network has fewest axes run nearly all checks, in 3D those of shapes as well. Tracing is left out, which takes
half a minute a network, and of the precisions all but float16, the least forgiving one.
"""

import pytest

from nnunetv2_factorizer.comparison.padded import Padded
from nnunetv2_factorizer.conformance import CHECKS, CONFIGURATIONS, Configuration, check_nnunet_architecture
from nnunetv2_factorizer.families import FAMILIES
from tests.comparison.small import SMALL

FLAT, _, THICK_SLICES = CONFIGURATIONS
SLOW = ("finite_float32", "finite_bfloat16", "torch_compile", "torch_export")
OF_SHAPES = ("builds", "deep_supervision", "heads", "shapes", "odd_patches")

CASES: list[tuple[str, Configuration, list[str]]] = [
    ("UNETR Paper", FLAT, [*SLOW]),
    ("UNETR Paper", THICK_SLICES, [name for name in CHECKS if name not in OF_SHAPES]),
    ("SwinUNETR V2", FLAT, [*SLOW]),
    ("MedNeXt S", FLAT, [*SLOW]),
    ("MedNeXt S", THICK_SLICES, [name for name in CHECKS if name not in OF_SHAPES]),
    ("NNFormer Paper", THICK_SLICES, [*SLOW]),
    ("TransBTS Paper", THICK_SLICES, [*SLOW]),
]
"""With the checks that are left out."""


@pytest.mark.parametrize(("name", "configuration", "skip"), CASES, ids=[f"{c[0]} {c[1].name}" for c in CASES])
def test_passes(name: str, configuration: Configuration, skip: list[str]) -> None:
    family, variant = name.split()
    arch_kwargs = {**FAMILIES[family].variants[variant], **SMALL[name]}
    network_class = FAMILIES[family].network_class
    results = check_nnunet_architecture(network_class, arch_kwargs, skip, configurations=[configuration])
    assert [r.check for r in results if r.status == "skipped"] == skip


def test_none_is_forgotten() -> None:
    foreign = {name for name, family in FAMILIES.items() if issubclass(family.network_class, Padded)}
    assert {case[0].split()[0] for case in CASES} == foreign
