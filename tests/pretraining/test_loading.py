"""Part of a checkpoint is loaded: each rule against a plain formulation, the table, and what is refused."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.models.checkpoint import read_checkpoint
from nnunetv2_factorizer.pretraining.loading import Row, format_rows, load_partially
from tests.pretraining.small_networks import NETWORKS, UNET_NAMES, architecture, build, checkpoint
from tests.training.small_trainer import plans


def load(source: nn.Module, of: dict[str, Any], target: nn.Module, into: dict[str, Any]) -> list[Row]:
    return load_partially(target, checkpoint(source, of), "pretrained.pth", into)


def fates(rows: list[Row]) -> dict[str, str]:
    return {row.name: row.fate for row in rows if not row.of_head}


def random_body(rows: list[Row]) -> list[str]:
    return [name for name, fate in fates(rows).items() if fate == "random"]


def features(network: nn.Module, x: Tensor) -> list[Tensor]:
    return network.eval().get_submodule("encoder")(x)


def copies(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("num_axes", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_body_is_loaded_and_the_heads_stay(name: str, num_axes: int) -> None:
    of = architecture(name, num_axes)
    source, target = build(of, classes=3), build(of, classes=5)
    before = copies(target)
    rows = load(source, of, target, of)
    assert set(fates(rows).values()) == {"loaded"}
    assert {row.fate for row in rows if row.of_head} == {"random"}
    for key, weight in target.state_dict().items():
        assert torch.equal(weight, (before if ".seg_layers." in key else source.state_dict())[key]), key


@pytest.mark.parametrize("num_axes", [2, 3])
@pytest.mark.parametrize(("old", "new"), [(1, 3), (4, 1)])
@pytest.mark.parametrize("name", [*UNET_NAMES, "Conv", "Hybrid"])
def test_an_image_that_is_repeated_in_all_channels_is_seen_as_before(
    name: str, old: int, new: int, num_axes: int
) -> None:
    of = architecture(name, num_axes)
    source, target = build(of, old), build(of, new)
    rows = load(source, of, target, of)
    assert list(fates(rows).values()).count("adapted") == 1
    x = torch.randn(1, 1, *[16] * num_axes)
    there, here = (features(net, x.repeat(1, n, *[1] * num_axes)) for net, n in ((source, old), (target, new)))
    torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-4)


def test_the_first_convolution_is_found_without_the_networks_word() -> None:
    of = architecture("PlainConvUNet")
    source, target = build(of, 1), build(of, 2)
    target.keys_to_in_proj = ()
    load(source, of, target, of)
    weight = source.encoder.stages[0][0].convs[0].conv.weight
    expected = torch.cat([weight / 2, weight / 2], 1)
    torch.testing.assert_close(target.encoder.stages[0][0].convs[0].conv.weight, expected)


@pytest.mark.parametrize("name", FACTORIZER.variants)
@pytest.mark.parametrize("patch", [[24, 40], [8, 24, 32]])
def test_another_patch_computes_what_the_source_computes_there(name: str, patch: list[int]) -> None:
    of, into = architecture(name, len(patch)), architecture(name, len(patch), patch_size=patch)
    source, target = build(of), build(into)
    rows = load(source, of, target, into)
    assert not random_body(rows)
    assert ("adapted" in fates(rows).values()) is (name in ("Swin", "Local", "Global"))
    x = torch.randn(1, 2, *patch)
    torch.testing.assert_close(features(target, x), features(source, x))


@pytest.mark.parametrize("name", UNET_NAMES)
@pytest.mark.parametrize(("old", "new"), [([1, 3, 3], [3, 3, 3]), ([3, 3, 3], [1, 3, 3])])
def test_other_kernels_keep_their_sum_along_each_axis(name: str, old: list[int], new: list[int]) -> None:
    of, into = (architecture(name, kernel_sizes=[kernel, [3] * 3, [3] * 3]) for kernel in (old, new))
    source, target = build(of), build(into)
    rows = load(source, of, target, into)
    adapted = [name for name, fate in fates(rows).items() if fate == "adapted"]
    assert adapted
    assert not random_body(rows)
    for key in adapted:
        there, here = source.state_dict()[key], target.state_dict()[key]
        torch.testing.assert_close(here.sum(2), there.sum(2))
        torch.testing.assert_close(here, here.mean(2, keepdim=True).expand_as(here))  # nothing is preferred


def test_transposed_convolutions_keep_the_size_of_their_entries() -> None:
    of = architecture("PlainConvUNet", strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]])
    into = architecture("PlainConvUNet", strides=[[1, 1, 1], [2, 2, 2], [1, 2, 2]])
    source, target = build(of), build(into)
    assert not random_body(load(source, of, target, into))
    there, here = source.decoder.transpconvs, target.decoder.transpconvs
    torch.testing.assert_close(here[0].weight, there[0].weight.mean(2, keepdim=True))
    torch.testing.assert_close(here[1].weight, there[1].weight.expand_as(here[1].weight))


@pytest.mark.parametrize("name", ["PlainConvUNet", "Conv"])
def test_another_depth_counts_from_the_highest_resolution(name: str) -> None:
    deep_unet = {"kernel_sizes": [[3] * 3] * 4, "n_conv_per_stage": [1] * 4, "n_conv_per_stage_decoder": [1] * 3}
    deeper = {"n_stages": 4, "features_per_stage": [8, 16, 16, 16], "strides": [[1] * 3] + [[2] * 3] * 3}
    of = architecture(name, strides=[[1] * 3] + [[2] * 3] * 2)
    into = architecture(name, **deeper, **(deep_unet if name == "PlainConvUNet" else {}))
    for from_, to in ((of, into), (into, of)):
        a, b = build(from_), build(to)
        rows = load(a, from_, b, to)
        for half, stage in (("encoder", 2), ("decoder", -1)):
            here, there = (getattr(network, half).stages[stage].parameters() for network in (b, a))
            assert all(torch.equal(p, q) for p, q in zip(here, there, strict=True))
        of_new = [row for row in random_body(rows) if not re.search(r"encoder\.(stages\.3|downsamplings\.2)\.", row)]
        lowest = r"decoder\.(stages|transpconvs|upsamplings|adapters)\.0\."
        assert all(re.match(lowest, row) for row in of_new), of_new


def test_the_table_adds_up() -> None:
    of, into = architecture("Global"), architecture("Global", patch_size=[8, 24, 32])
    source, target = build(of, 1), build(into, 3)
    rows = load(source, of, target, into)
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in target.parameters())
    assert len(rows) == len({id(t) for t in target.state_dict(keep_vars=True).values()})
    head, *lines = format_rows(rows).splitlines()
    assert head.split()[-3:] == ["loaded", "adapted", "random"]
    counts = [re.findall(r"  (?:(\d+) \(([\d,]+)\)|-)", line) for line in lines if not re.match(r"\w+: |\.\.\.", line)]
    numbers = [[(int(n or 0), int(p.replace(",", "") or 0)) for n, p in line] for line in counts]
    *stages, together = numbers
    assert [tuple(map(sum, zip(*column, strict=True))) for column in zip(*stages, strict=True)] == together
    assert sum(n for n, _ in together) == len(rows)
    assert "adapted: encoder.stem.weight, (8, 1, 3, 3, 3) in the file, (8, 3, 3, 3, 3) here" in lines
    assert len(lines) < 30


def test_nnunets_own_networks_are_counted_once_whatever_their_weights_are_called() -> None:
    of = architecture("ResidualEncoderUNet")
    source, target = build(of), build(of)
    once = {name: p.detach() for name, p in source.named_parameters()}  # without all_modules and decoder.encoder
    wrapped = {f"module._orig_mod.{name}": weight for name, weight in once.items()}
    rows = load_partially(target, checkpoint(source, of) | {"network_weights": wrapped}, "pretrained.pth", of)
    assert not random_body(rows)
    assert all(torch.equal(p, once[name]) for name, p in target.named_parameters() if "seg_layers" not in name)


def test_a_checkpoint_of_nnunets_own_trainer_is_judged_by_its_plans() -> None:
    the_plans = plans(matricize="local")
    of = the_plans["configurations"]["3d_fullres"]["architecture"]
    into = of | {"arch_kwargs": of["arch_kwargs"] | {"matricize": "swin"}}
    source, target = build(of), build(into)
    made = checkpoint(source, None, "nnUNetTrainer")
    made["init_args"]["plans"] = the_plans
    assert not random_body(load_partially(build(of), made, "pretrained.pth", of))
    with pytest.raises(UserError, match="matricize is 'local' there, 'swin' here"):
        load_partially(target, made, "pretrained.pth", into)


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize(
    ("name", "of", "into", "cause"),
    [
        (
            "family",
            architecture("PlainConvUNet"),
            architecture("Hybrid"),
            r"is of dynamic_network.*PlainConvUNet, this",
        ),
        ("residual", architecture("ResidualEncoderUNet"), architecture("PlainConvUNet"), r"it is of .*ResidualEncoder"),
        ("axes", architecture("Conv", 2), architecture("Conv", 3), r"conv_op is 'torch.nn.Conv2d' there"),
        ("widths", architecture("Conv"), architecture("Conv", features_per_stage=[16, 32, 32]), ""),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
)
def test_another_network_is_refused_and_nothing_changes(
    name: str, of: dict[str, Any], into: dict[str, Any], cause: str, record: bool
) -> None:
    source, target = build(of), build(into)
    before = copies(target)
    little = r"fits \d+% of the parameters of this (encoder|network), less than 50%; the first .* is encoder\."
    with pytest.raises(UserError, match=cause if record and cause else little) as caught:
        load_partially(target, checkpoint(source, of if record else None), "pretrained.pth", into)
    assert str(caught.value).startswith("pretrained.pth (made by nnUNetTrainerOfTest for Dataset997_Small, 3d_fullres)")
    assert "the family, its variant and its widths must be the same" in caught.value.remedy
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


@pytest.mark.parametrize("change", [{"matricize": "local"}, {"num_iters": 3}, {"solver": "mu"}])
def test_weights_that_merely_look_alike_are_refused(change: dict[str, Any]) -> None:
    of, into = architecture("Swin"), architecture("Swin", **change)
    with pytest.raises(UserError, match=rf"{next(iter(change))} is .* there, .* here"):
        load(build(of), of, build(into), into)


def test_other_windows_leave_their_initial_factors_as_they_are() -> None:
    of, into = architecture("Conv"), architecture("Conv", window_size=[[2, 4, 4]] * 3)
    rows = load(build(of), of, build(into), into)
    assert random_body(rows)
    assert all(name.endswith("nmf.v0") for name in random_body(rows))


def test_a_damaged_file_is_told_with_the_remedy_that_is_asked_for(tmp_path: Any) -> None:
    (tmp_path / "file.pth").write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(UserError, match="truncated, damaged or no checkpoint") as caught:
        read_checkpoint(str(tmp_path / "file.pth"), "Download it again.")
    assert caught.value.remedy == "Download it again."
