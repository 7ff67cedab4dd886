"""The network: the paper's sizes, any plan's shapes, reduced precision, compilation and export."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nnunetv2_factorizer.factorization import NMF
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.network import Factorizer
from tests.conftest import relative_error

PAPER = {"n_stages": 5, "features_per_stage": [32, 64, 128, 256, 512], "strides": [1, 2, 2, 2, 2]}
BRATS = PAPER | {"input_channels": 4, "num_classes": 3, "patch_size": [128] * 3}
ISLES = PAPER | {
    "input_channels": 2, "num_classes": 1, "patch_size": [64] * 3, "head_dim": 4, "window_size": 4, "mlp_ratio": 4
}  # fmt: skip

SMALL: dict[str, Any] = {
    "input_channels": 1,
    "num_classes": 2,
    "n_stages": 3,
    "features_per_stage": [8, 16, 32],
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "window_size": 4,
    "head_dim": 4,
    "patch_size": [8, 24, 16],
    "deep_supervision": True,
}
ALL = [*FACTORIZER.variants.values(), {"matricize": "swin", "rank": 2}, {"matricize": "swin", "recompute": False}]


def small(**changes: Any) -> Factorizer:
    return Factorizer(**SMALL | changes)


def small_input(batch: int = 1) -> Tensor:
    return torch.randn(batch, 1, 8, 24, 16)


@pytest.mark.parametrize(("arguments", "expected"), [(BRATS, 5_855_520), (ISLES, 7_372_256)])
@pytest.mark.parametrize("matricize", ["swin", "local", "global"])
def test_parameters_of_the_paper(arguments: dict[str, Any], expected: int, matricize: str) -> None:
    with torch.device("meta"):
        network = Factorizer(conv_op=nn.Conv3d, matricize=matricize, **arguments)
    heads = sum(p.numel() for p in network.decoder.seg_layers.parameters())
    assert sum(p.numel() for p in network.parameters()) - heads == expected


@pytest.mark.parametrize(
    ("arguments", "matricize", "expected"),
    [
        (BRATS, "global", 170.0),
        (BRATS, "local", 170.0),
        (BRATS, "swin", 174.2),
        (ISLES, "global", 28.5),
        (ISLES, "local", 28.5),
        (ISLES, "swin", 29.1),
    ],
)
def test_gflops_of_the_paper(
    arguments: dict[str, Any], matricize: str, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnunetv2_factorizer.network.upsampling.COMPOSED_FROM", 2**60)  # layer by layer, as there
    with torch.device("meta"):
        network = Factorizer(
            conv_op=nn.Conv3d, matricize=matricize, deep_supervision=True, recompute=False, **arguments
        )
        x = torch.empty(1, arguments["input_channels"], *arguments["patch_size"])
    normalised = 0

    def count(_: nn.Module, __: Any, output: Tensor) -> None:
        nonlocal normalised
        normalised += output.numel()

    for module in network.modules():
        if isinstance(module, NMF):
            module.closed_form = False
        if isinstance(module, nn.LayerNorm):
            module.register_forward_hook(count)
    with FlopCounterMode(display=False) as counter:
        network(x)
    # PyTorch's counter does not see layer norms: 5 multiply-adds a number, counted twice like the others.
    assert (counter.get_total_flops() + 10 * normalised) / 1e9 == pytest.approx(expected, rel=5e-3)


def test_local_path_adds_little() -> None:
    counts = []
    for local_path in ("none", "depthwise"):
        with torch.device("meta"):
            network = Factorizer(conv_op=nn.Conv3d, local_path=local_path, **BRATS)
        counts.append(sum(p.numel() for p in network.parameters()))
    assert counts[1] / counts[0] == pytest.approx(1.0, abs=0.015)
    assert counts[1] > counts[0]


@pytest.mark.parametrize("variant", ALL)
@pytest.mark.parametrize(
    ("conv_op", "strides", "patch_size"),
    [
        ("Conv3d", [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]], [40, 56, 40]),
        ("Conv3d", [[1, 1, 1], [1, 2, 2], [1, 2, 2], [2, 2, 2]], [6, 40, 24]),
        ("Conv2d", [[1, 1], [2, 2], [2, 2]], [36, 20]),
        ("Conv2d", [1, 2, 2, 2, 2, 2, 2], [64, 128]),
    ],
)
def test_any_plan(variant: dict[str, Any], conv_op: str, strides: list, patch_size: list[int]) -> None:
    n_stages = len(strides)
    network = Factorizer(
        2, 3, n_stages, [4 * 2 ** min(i, 3) for i in range(n_stages)], f"torch.nn.modules.conv.{conv_op}", strides,
        head_dim=4, patch_size=patch_size, **variant,
    )  # fmt: skip
    x = torch.randn(1, 2, *patch_size)
    assert network(x).shape == (1, 3, *patch_size)
    network.decoder.deep_supervision = True
    outputs = network(x)
    assert len(outputs) == n_stages - 1
    size = patch_size
    for stride, output in zip(strides, outputs, strict=False):
        per_axis = stride if isinstance(stride, list) else [stride] * len(size)
        size = [s // a for s, a in zip(size, per_axis, strict=True)]
        assert list(output.shape[2:]) == size
    sum(output.square().mean() for output in outputs).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("variant", ALL)
def test_a_size_other_than_the_patch_at_inference(variant: dict[str, Any]) -> None:
    network = small(deep_supervision=False, **variant)
    assert network(torch.randn(2, 1, 10, 32, 8)).shape == (2, 2, 10, 32, 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("variant", ALL)
def test_reduced_precision_and_extreme_inputs(variant: dict[str, Any], dtype: torch.dtype) -> None:
    network = small(**variant)
    x = small_input()
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        actual = network(x)
    for a, e in zip(actual, network(x), strict=True):
        assert a.dtype == dtype
        assert relative_error(a, e) < 2e-2
    for extreme in (torch.zeros_like(x), 1e4 * x):
        network.zero_grad()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            loss = torch.stack([o.float().abs().mean() for o in network(extreme)]).sum()
        loss.backward()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("variant", ALL)
def test_compiles_without_a_graph_break(variant: dict[str, Any]) -> None:
    network = small(**variant).double()  # in single precision rounding may move a number across a kink, and its slope
    x = small_input(batch=2).double()

    def run(function: Any) -> list[Tensor]:
        network.zero_grad()
        outputs = function(x)
        sum(o.square().sum() for o in outputs).backward()
        return [*outputs, *(p.grad for p in network.parameters())]

    expected = run(network)
    # The tracer and autograd's partitioning are tested; generating C++ for each variant would take minutes.
    actual = run(torch.compile(network, fullgraph=True, backend="aot_eager"))
    assert all(relative_error(a, e) < 1e-9 for a, e in zip(actual, expected, strict=True))
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.parametrize("variant", ALL)
def test_compiles_with_inductor(variant: dict[str, Any]) -> None:
    network = small(deep_supervision=False, **variant).eval()
    x = small_input()
    assert relative_error(torch.compile(network, fullgraph=True)(x), network(x)) < 1e-4
    torch.compiler.reset()


@pytest.mark.parametrize("variant", ALL)
def test_exports(variant: dict[str, Any]) -> None:
    network = small(deep_supervision=False, **variant).eval()
    x = small_input()
    exported = torch.export.export(network, (x,))
    assert relative_error(exported.module()(x), network(x)) < 1e-5


def test_skipped_blocks_are_the_identity_with_the_same_weights() -> None:
    trained, identity = small(), small(nmf=False)
    weights = trained.state_dict()
    identity.load_state_dict({key: value for key, value in weights.items() if ".nmf." not in key})
    skipping, one = small(skip_nmf=list(trained.blocks)), small(skip_nmf=["decoder.stages.0.0"])
    skipping.load_state_dict(weights)
    one.load_state_dict(weights)
    x = small_input()
    assert torch.equal(skipping(x)[0], identity(x)[0])
    assert not torch.allclose(one(x)[0], trained(x)[0])
    assert not torch.allclose(one(x)[0], skipping(x)[0])
    with pytest.raises(ValueError, match=r"skip_nmf must name blocks .*decoder\.stages\.0\.0.*; got 'stem'"):
        small(skip_nmf=["stem"])


def test_forward_hook_of_a_mixer_sees_what_is_factorized() -> None:
    network, seen = small(), []
    network.blocks["encoder.stages.0.0"].mixer.register_forward_hook(lambda _, x, y: seen.append((x[0].shape, y.shape)))
    network(small_input())
    assert seen == [(torch.Size([1, 8, 8, 24, 16]),) * 2]


def test_ablations_leave_out_what_they_say() -> None:
    names = [name for name, _ in small(nmf=False, mlp_ratio=0, position_embedding=False).named_modules()]
    assert not any(name.endswith((".nmf", ".mlp", "position_embedding")) for name in names)
    assert small(nmf=False, mlp_ratio=0, position_embedding=False, patch_size=None)(small_input())[0].shape[1] == 2


def test_without_nmf_voxels_do_not_mix_in_a_block() -> None:
    x = torch.randn(1, 8, 4, 4, 4)
    changed = x.clone()
    changed[..., 0] += 1
    for nmf, mixes in ((False, False), (True, True)):
        block = small(nmf=nmf).encoder.stages[0]
        difference = (block(changed) - block(x))[..., 1:].abs().max().item()
        assert (difference > 0) is mixes


def test_a_list_gives_each_stage_its_own() -> None:
    network = small(
        matricize=["local", "swin", "global"], window_size=[[1, 8, 8], 4, 2], head_dim=[2, 4, 8], rank=[1, 2, 1],
        solver=["hals", "mu", "hals"], num_iters=[5, 3, 1], mlp_ratio=[2, 0, 1],
        local_path=["none", "depthwise", "none"], n_blocks_per_stage=[1, 2, 1], n_blocks_per_stage_decoder=[2, 1],
    )  # fmt: skip
    sizes = [stage[0].mixer.nmf.size for stage in network.encoder.stages]
    assert sizes == [(2, 64), (4, 64), (8, 4 * 6 * 4)]
    assert [len(stage) for stage in network.encoder.stages] == [1, 2, 1]
    assert [len(stage) for stage in network.decoder.stages] == [2, 1]
    assert network.decoder.stages[0][0].mixer.nmf.rank == 2
    assert network(small_input())[0].shape == (1, 2, 8, 24, 16)


def test_dropout_is_the_same_whatever_is_kept() -> None:
    low = small(dropout=0.5)
    fast = small(dropout=0.5, recompute=False)
    fast.load_state_dict(low.state_dict())
    x = small_input()
    results = []
    for network in (low, fast):
        torch.manual_seed(1)
        output = network(x)[0]
        results.append([output, *torch.autograd.grad(output.square().sum(), network.encoder.parameters())])
    for a, e in zip(*results, strict=True):
        assert relative_error(a, e) < 1e-4


@pytest.mark.filterwarnings("ignore")  # jit.trace is deprecated, and still what some deployments use
def test_traces() -> None:
    network = small(deep_supervision=False).eval()
    x = small_input()
    assert relative_error(torch.jit.trace(network, x)(x), network(x)) < 1e-5


def test_forward_is_deterministic() -> None:
    network = small()
    x = small_input()
    state = torch.get_rng_state()
    assert torch.equal(network(x)[0], network(x)[0])
    assert torch.equal(state, torch.get_rng_state())


def test_names_that_nnunet_and_nnssl_look_for() -> None:
    network = small()
    for key in (network.key_to_encoder, network.key_to_stem):
        assert isinstance(network.get_submodule(key), nn.Module)
    assert isinstance(network.get_parameter(network.key_to_lpe), nn.Parameter)
    assert all(network.get_submodule(key).weight.shape[1] == 1 for key in network.keys_to_in_proj)
    assert any(".seg_layers." in key for key in network.state_dict())
    assert network.apply(network.initialize) is network


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matricize": "shifted"}, "matricize must be one of 'swin', 'local', 'global', got 'shifted'"),
        ({"solver": "als"}, "solver must be one of .* got 'als'"),
        ({"local_path": "conv"}, "local_path must be one of 'none', 'depthwise', got 'conv'"),
        ({"recompute": "always"}, "recompute must be True or False, got 'always'"),
        ({"head_dim": 3}, "head_dim must divide the channels of its stage, 8 .* got 3"),
        ({"rank": 9}, "rank must be a whole number from 1 to .* got 9"),
        ({"window_size": 0}, "window_size must be a whole number of at least 1, got 0"),
        ({"window_size": 2.7}, r"window_size .* got 2\.7"),
        ({"head_dim": 0}, "head_dim must be a whole number of at least 1, got 0"),
        ({"strides": [1, 0, 2]}, "strides must be a whole number of at least 1, got 0"),
        ({"n_blocks_per_stage": 0}, "n_blocks_per_stage must be a whole number of at least 1, got 0"),
        ({"mlp_ratio": -1}, "mlp_ratio must be 0 .* got -1"),
        ({"conv_op": "torch.nn.Linear"}, "conv_op must be .* got 'torch.nn.Linear'"),
        ({"n_stages": 1}, "n_stages must be at least 2, got 1"),
        ({"rank": [1, 2]}, r"rank must be one value or a list of 3, one a stage, got \[1, 2\]"),
        ({"strides": [[1, 1], [2, 2], [2, 2]]}, r"strides must be one number or 3 numbers, one an axis, got \[1, 1\]"),
        ({"patch_size": None}, "position_embedding=True needs patch_size"),
        ({"patch_size": None, "position_embedding": False, "matricize": "global"}, "'global' needs patch_size"),
        ({"patch_size": [8, 24, 18]}, r"patch_size must be divisible by .*\[2, 4, 4\], got \(8, 24, 18\)"),
    ],
)
def test_wrong_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_wrong_input_size_is_named() -> None:
    with pytest.raises(ValueError, match=r"divisible by \[2, 4, 4\].* got \(1, 1, 8, 24, 18\)"):
        small()(torch.zeros(1, 1, 8, 24, 18))
