"""Networks in the Factorizer's U-shape: the paper's sizes, their blocks against formulas, wrong arguments."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from nnunetv2_factorizer.comparison.performer import Attention, Performer
from nnunetv2_factorizer.comparison.plain import PlainBlock, PlainUNet
from nnunetv2_factorizer.comparison.residual import ResidualBlock, ResUNet
from nnunetv2_factorizer.families import FAMILIES
from nnunetv2_factorizer.network.block import MixingBlock
from nnunetv2_factorizer.network.memory import step_memory
from tests.network.test_cuda_trace import WAITING, trace
from tests.network.test_factorizer import BRATS as PAPER_BRATS
from tests.network.test_factorizer import ISLES as PAPER_ISLES
from tests.network.test_linear_attention import phi

SHAPE = ("input_channels", "num_classes", "n_stages", "features_per_stage", "strides")
BRATS = {name: PAPER_BRATS[name] for name in SHAPE}
ISLES = {name: PAPER_ISLES[name] for name in SHAPE}
SMALL: dict[str, Any] = {"n_stages": 2, "features_per_stage": [8, 16], "conv_op": nn.Conv2d, "strides": [1, 2]}


@pytest.mark.parametrize(
    ("network_class", "arguments", "outside_heads", "of_the_paper"),
    [
        (PlainUNet, BRATS, 28_702_240, 28.7e6),
        (PlainUNet, ISLES, 28_700_512, 28.7e6),
        (ResUNet, BRATS, 28_876_320, 28.9e6),
        (ResUNet, ISLES, 28_874_592, 28.9e6),
        (Performer, BRATS | {"patch_size": [128] * 3}, 6_727_968, 6.7e6),
        (Performer, ISLES | {"patch_size": [64] * 3, "head_dim": 4, "mlp_ratio": 4}, 8_244_704, 8.2e6),
    ],
)
def test_parameters_of_the_paper(
    network_class: type[nn.Module], arguments: dict[str, Any], outside_heads: int, of_the_paper: float
) -> None:
    with torch.device("meta"):
        network: Any = network_class(conv_op=nn.Conv3d, **arguments)
    total = sum(p.numel() for p in network.parameters())
    assert total - sum(p.numel() for p in network.decoder.seg_layers.parameters()) == outside_heads
    assert total == pytest.approx(of_the_paper, rel=0.01)


def test_a_plain_unet_needs_over_1000_gflops_on_the_papers_patch() -> None:
    with torch.device("meta"):
        network, x = PlainUNet(conv_op=nn.Conv3d, **BRATS), torch.empty(1, 4, 128, 128, 128)
    with FlopCounterMode(display=False) as counter:
        network(x)
    assert 1.0e12 < counter.get_total_flops() < 1.5e12


def half(x: Tensor, weight: Tensor, norm: nn.GroupNorm) -> Tensor:
    """A convolution and the normalisation of each eighth of its channels together."""
    groups = functional.conv2d(x, weight, padding="same").unflatten(1, (8, -1))
    mean, var = groups.mean((2, 3, 4), keepdim=True), groups.var((2, 3, 4), unbiased=False, keepdim=True)
    normalised = ((groups - mean) / (var + norm.eps).sqrt()).flatten(1, 2)
    return normalised * norm.weight[:, None, None] + norm.bias[:, None, None]


def relu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.01 * x)


def randomised(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


@pytest.mark.parametrize(("before", "kernel"), [(16, (3, 3)), (32, (1, 3))])
def test_plain_and_residual_blocks_are_their_formulas(before: int, kernel: tuple[int, int]) -> None:
    plain, residual = (randomised(kind(nn.Conv2d, before, 16, kernel)) for kind in (PlainBlock, ResidualBlock))
    x = torch.randn(2, before, 9, 7)
    conv1, norm1, _, conv2, norm2, _ = plain
    assert conv1.weight.shape == (16, before, *kernel)
    expected = relu(half(relu(half(x, conv1.weight, norm1)), conv2.weight, norm2))
    torch.testing.assert_close(plain(x.clone()), expected, rtol=1e-4, atol=1e-5)
    conv1, norm1, _, conv2, norm2 = residual.convolutions
    shortcut = x if before == 16 else torch.einsum("oc,bcxy->boxy", residual.shortcut.weight[..., 0, 0], x)
    expected = relu(shortcut + half(relu(half(x, conv1.weight, norm1)), conv2.weight, norm2))
    torch.testing.assert_close(residual(x.clone()), expected, rtol=1e-4, atol=1e-5)


def test_a_block_of_the_performer_is_its_formula() -> None:
    block = randomised(MixingBlock(16, lambda: Attention(16, 4), mlp_ratio=2)).double()
    x = torch.randn(2, 16, 3, 5, dtype=torch.float64)
    tokens = x.flatten(2).mT
    attention, features = block.mixer, block.mixer.features
    query, key, value = (
        (functional.layer_norm(tokens, [16], block.norm1.weight, block.norm1.bias) @ w.T).unflatten(-1, (4, 4))
        for w in attention.qkv.weight.split(16)
    )  # 4 heads of 4 channels
    pairs = torch.einsum("bnhm,bkhm->bhnk", phi(query, features), phi(key, features))
    mixed = torch.einsum("bhnk,bkhe->bnhe", pairs / pairs.sum(-1, keepdim=True), value).flatten(2)
    y = tokens + functional.linear(mixed, attention.out_proj.weight, attention.out_proj.bias)
    first, _, _, second, _ = block.mlp
    hidden = functional.linear(functional.layer_norm(y, [16], block.norm2.weight, block.norm2.bias), first.weight)
    z = y + functional.linear(functional.gelu(hidden + first.bias), second.weight, second.bias)
    torch.testing.assert_close(block(x), z.mT.unflatten(-1, (3, 5)))


@pytest.mark.parametrize("network_class", [PlainUNet, ResUNet])
def test_a_decoder_block_takes_skip_and_upsampled_features_side_by_side(network_class: type[PlainUNet]) -> None:
    network, x = network_class(2, 3, **SMALL), torch.randn(2, 2, 12, 8)
    high = network.encoder.stages[0](network.encoder.stem(x))
    low = network.encoder.stages[1](network.encoder.downsamplings[0](high))
    joined = torch.cat([high, network.decoder.upsamplings[0](low)], dim=1)
    expected = network.decoder.seg_layers[0](network.decoder.stages[0](joined))
    torch.testing.assert_close(network(x), expected)
    assert network.key_to_lpe is None


def test_a_performer_takes_another_size_and_mixes_all_voxels() -> None:
    network, x = Performer(1, 2, **SMALL, patch_size=[8, 8]), torch.randn(1, 1, 32, 12, requires_grad=True)
    assert network(x).shape == (1, 2, 32, 12)
    network(x)[0, :, 0, 0].sum().backward()
    assert (x.grad != 0).all()


def test_the_features_of_a_performer_come_with_its_weights() -> None:
    names = [name for name in Performer(1, 2, **SMALL, patch_size=[8, 8]).state_dict() if name.endswith(".features")]
    assert len(names) == 3


def test_a_group_norm_is_planned_with_float32_as_a_gpu_has_it() -> None:
    kept = [
        step_memory(nn.Sequential(nn.Conv2d(8, 8, 1), norm), (1, 8, 32, 32), torch.float16).kept
        for norm in (nn.GroupNorm(8, 8), nn.LeakyReLU())
    ]
    assert kept[0] - kept[1] > 2 * 8 * 32 * 32  # the input of the norm, 4 bytes a number where it were 2


@pytest.mark.no_cover  # fake tensors take a third longer where lines are counted
@pytest.mark.parametrize("family", ["PlainUNet", "Performer"])
def test_a_step_on_a_gpu_does_not_wait_for_the_host(family: str) -> None:
    operators = [call.func._opname for call in trace(family, "Paper", "3d")]
    assert WAITING.isdisjoint(operators)
    assert ("recomputed" in operators) is (family == "Performer")  # the layers after mixing, as in a Factorizer


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        ("PlainUNet", {"features_per_stage": [8, 12]}, "features_per_stage must be divisible by 8, .* got 12"),
        ("PlainUNet", {"kernel_sizes": 2}, r"kernel_sizes must be odd, .* got \(2, 2\)"),
        ("ResUNet", {"n_stages": 1}, "n_stages must be at least 2, got 1"),
        ("ResUNet", {"kernel_sizes": [3]}, r"kernel_sizes must be one value or a list of 2, one a stage, got \[3\]"),
        ("Performer", {"head_dim": 3}, "head_dim must divide the channels of its stage, 8 .* got 3"),
        ("Performer", {"head_dim": 0}, "head_dim must be a whole number of at least 1, got 0"),
        ("Performer", {"mlp_ratio": 0}, "mlp_ratio must be positive, got 0"),
        ("Performer", {"patch_size": [8, 7]}, r"patch_size must be divisible by .*\[2, 2\], got \(8, 7\)"),
    ],
)
def test_wrong_arguments_are_named(network: str, changes: dict[str, Any], message: str) -> None:
    family = FAMILIES[network]
    arguments = SMALL | ({"patch_size": [8, 8]} if family.takes_patch_size else {}) | changes
    with pytest.raises(ValueError, match=message):
        family.network_class(1, 2, **arguments)
