"""Each check fails on a network that is broken in what it checks, with a message that says what to do."""

import re
from typing import Any

import pytest
import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
from torch import nn

from nnunetv2_factorizer.conformance import (
    CHECKS,
    CONFIGURATIONS,
    Configuration,
    check_nnunet_architecture,
    rng,
    run_checks,
)
from nnunetv2_factorizer.errors import UserError
from tests.conformance import broken

ONLY_2D = ("3d", "3d_anisotropic")
SLOW = {"torch_compile", "torch_export"}
SHAPES = {"shapes", "batch_of_one", "odd_patches"}
NEED_THE_DECODER = {
    "deep_supervision", "heads", *SHAPES, "deterministic", "finite_float32", "finite_float16", "finite_bfloat16",
    "gradients", "state_dict",
}  # fmt: skip

BROKEN = [
    (broken.TakesNoStrides, {"builds"}, "no `strides`.*take it, one list of numbers a stage"),
    (broken.WantsTuples, {"builds"}, "raised TypeError: .*as the lists that JSON makes of tuples"),
    (broken.WantsMore, {"builds"}, "'embed_dim'.*give the others a default or a value in arch_kwargs"),
    (broken.TakesNoDeepSupervision, {"builds"}, "'deep_supervision'.*Take these arguments by name"),
    (broken.HasNoDecoder, NEED_THE_DECODER, "no submodule `network.decoder`.*keep the part that"),
    (
        broken.FixedAtConstruction,
        {"deep_supervision", *SHAPES},
        "decoder.deep_supervision = False.* returned a list.*Read the flag in forward",
    ),
    (broken.StartsWithoutDeepSupervision, {"deep_supervision"}, "is False; .* Set it in the constructor"),
    (broken.HeadsElsewhere, {"heads", "pretrained_weights"}, "no ModuleList `decoder.seg_layers`.*keep the layers"),
    (broken.HeadTooMany, {"heads", "gradients"}, "3 heads for 2 outputs.*Have one for each output"),
    (broken.Softmax, {"heads"}, "output 0 is not linear.*Return logits"),
    (broken.ReLUAtTheEnd, {"heads"}, "output 0 is not linear.*Return logits"),
    (broken.BoundInitialize, {"initialize"}, "no static method `initialize.*add `@staticmethod"),
    (broken.UninitialisedParameter, {"initialize", "gradients"}, "NaN or infinity in scale.*Set every parameter"),
    (broken.EncoderNamedWrongly, {"pretraining_keys"}, "`key_to_encoder` is 'encoders', which is no submodule"),
    (broken.PositionIsAModule, {"pretraining_keys"}, "`key_to_lpe` is 'encoder', which is no parameter"),
    (broken.InProjWithoutChannels, {"pretraining_keys"}, r"'encoder.1'.*\(16, 8, 3, 3\).*the 2 input channels"),
    (broken.InProjIsAString, {"pretraining_keys"}, "must be a tuple of names, got 'encoder.0'"),
    (broken.ForgetsAHead, {"heads", "gradients", *SHAPES}, "needs .*one a decoder stage, highest resolution first"),
    (broken.LowestResolutionFirst, SHAPES, r"\[\(2, 3, 8, 8\), \(2, 3, 16, 16\)\]; .*highest resolution first"),
    (broken.SqueezesTheBatch, {"batch_of_one"}, r"returned \[\(3, 16, 16\), \(3, 8, 8\)\]; nnU-Net needs \[\(1, "),
    (broken.NeedsEvenSizes, {"odd_patches"}, r"raised RuntimeError: unflatten.*broken.py, line \d+"),
    (broken.ChangesItsInput, {"deterministic", "heads", "state_dict"}, "changes its input in place.*work on a copy"),
    (broken.AlwaysDropsOut, {"deterministic", "heads", "state_dict"}, "two different outputs.*Draw nothing in forward"),
    (broken.SeedsInForward, {"deterministic", "global_rng"}, "forward in training mode .* torch. Use a generator"),
    (broken.SeedsInConstructor, {"global_rng"}, "the constructor seeds .* numpy.random. Use a generator"),
    (
        broken.DividesByZero,
        {"finite_float32", "finite_float16", "finite_bfloat16"},
        "output 0 in torch.float32 for an image of zeros. Add an epsilon",
    ),
    (broken.EpsilonTooSmallForFloat16, {"finite_float16"}, "in torch.float16 for .* one that the precision can hold"),
    (broken.OverflowsInFloat16, {"finite_float16"}, "in torch.float16 for an image with one voxel of 10000"),
    (broken.ThinksOfZeroAlone, {"finite_float16"}, "in torch.float16 for an image of noise times 1e-06"),
    (
        broken.RootOfZero,
        {"finite_float32", "finite_float16", "finite_bfloat16"},
        "gradient of mixing.weight in torch.float32 for an image of zeros. Add an epsilon",
    ),
    (broken.UnusedParameter, {"gradients"}, "reaches spare.weight, spare.bias.*use it in forward"),
    (broken.UnregisteredTensor, {"state_dict"}, "Register fixed random tensors with `register_buffer`"),
    (broken.ParameterForDeepSupervision, {"state_dict"}, '"weight".*Make the same parameters and buffers'),
    (broken.ClassesOutsideTheHeads, {"pretrained_weights"}, "key classes .*Only layers in `decoder.seg_layers`"),
    (broken.ConstantEstimate, {"memory_estimate"}, r"grows 1.00 times, .* [34]\.\d\d times. Count what each layer"),
    (broken.NoEstimate, {"memory_estimate"}, "no method `compute_conv_feature_map_size.*return the numbers"),
    (broken.DiffersCompiled, {"torch_compile"}, "differ from the uncompiled network by"),
    (broken.BranchesOnValues, {"torch_export"}, "must not branch on the values of tensors"),
]  # fmt: skip


def test_a_network_that_keeps_the_contract_passes() -> None:
    results = check_nnunet_architecture(broken.Good, skip=ONLY_2D)
    assert [r.check for r in results if r.status == "passed"] == list(CHECKS)


@pytest.mark.parametrize(("network_class", "checks", "message"), BROKEN, ids=[b[0].__name__ for b in BROKEN])
def test_a_broken_network_fails_where_it_is_broken(
    network_class: type[nn.Module], checks: set[str], message: str
) -> None:
    skip = set(ONLY_2D) | (SLOW - checks)
    failed = [r for r in run_checks(network_class, skip=list(skip)) if r.status == "failed"]
    assert {r.check for r in failed} == checks
    assert re.search(message, "\n".join(map(str, failed)))


def test_a_network_that_cannot_be_built_is_checked_no_further() -> None:
    results = list(run_checks(broken.WantsMore, skip=ONLY_2D))
    assert [r.status for r in results if r.configuration == "2d"] == ["failed"] + ["skipped"] * (len(CHECKS) - 1)
    assert check_nnunet_architecture(broken.WantsMore, {"embed_dim": 8}, skip=[*ONLY_2D, *SLOW])


def test_a_failing_check_raises_with_all_messages() -> None:
    with pytest.raises(AssertionError, match=r"failed 2 of 57 checks(.|\n)*initialize \[2d\](.|\n)*gradients \[2d\]"):
        check_nnunet_architecture(broken.UninitialisedParameter, skip=[*ONLY_2D, *SLOW])


def test_skipped_checks_cannot_fail() -> None:
    results = check_nnunet_architecture(broken.Softmax, skip=["heads", *ONLY_2D, *SLOW])
    assert {r.status for r in results if r.check == "heads"} == {"skipped"}


def test_a_class_that_cannot_be_imported_is_told() -> None:
    class Local(broken.Good):
        pass

    results = run_checks(Local, skip=ONLY_2D)
    assert "Define the class at the top level of a module" in next(results).message


@pytest.mark.parametrize("value", [nn.Conv2d, {1, 2}, torch.zeros(1)])
def test_arguments_that_are_no_json_are_told(value: Any) -> None:
    results = run_checks(broken.Good, {"features_per_stage": value}, skip=ONLY_2D)
    assert re.search("cannot stand in one: .* Give numbers, strings and lists", next(results).message)


def test_dotted_names_are_resolved_as_in_plans() -> None:
    bottleneck = "dynamic_network_architectures.building_blocks.residual.BottleneckD"
    arguments = {"nonlin": "torch.nn.SiLU", "block": bottleneck, "bottleneck_channels": 4}
    skip = [name for name in CHECKS if name != "shapes"]
    results = run_checks(ResidualEncoderUNet, arguments, skip, kw_requires_import=["block"])
    assert {r.status for r in results if r.check == "shapes"} == {"passed"}
    results = run_checks(ResidualEncoderUNet, arguments, skip)
    assert {r.status for r in results if r.check == "shapes"} == {"failed"}


def test_arguments_may_depend_on_the_configuration() -> None:
    seen = []

    def arch_kwargs(configuration: Configuration) -> dict[str, Any]:
        seen.append(configuration.name)
        return {"features_per_stage": [8, 8, 8], "strides": [list(s) for s in configuration.strides]}

    check_nnunet_architecture(broken.Good, arch_kwargs, [*ONLY_2D, *SLOW])
    assert set(seen) == {"2d"}


def test_what_the_configuration_decides_cannot_be_given() -> None:
    with pytest.raises(UserError, match=r"must not hold strides, which differ between .*\nGive a function"):
        check_nnunet_architecture(broken.Good, {"strides": [1, 2, 2]})


def test_unknown_names_to_skip_are_told() -> None:
    with pytest.raises(UserError, match=r"checks or configurations, got shape\.\nThere are: builds, .*, 2d, 3d"):
        check_nnunet_architecture(broken.Good, skip=["shape"])


def test_the_suite_leaves_the_global_generators_alone() -> None:
    before = rng.states()
    list(run_checks(broken.SeedsInForward, skip=[*ONLY_2D, *SLOW]))
    assert rng.states() == before


@pytest.mark.parametrize(
    ("configuration", "spacing"), list(zip(CONFIGURATIONS, ((1, 1), (1, 1, 1), (3, 1, 1)), strict=True))
)
def test_configurations_are_what_nnunet_plans(configuration: Configuration, spacing: tuple[float, ...]) -> None:
    planned = get_pool_and_conv_props(spacing, configuration.patch_size, 4, 999999)[1:4]
    assert (configuration.strides, configuration.kernel_sizes, configuration.patch_size) == planned
