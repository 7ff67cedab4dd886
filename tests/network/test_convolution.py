"""The convolutional parts of a Factorizer: against formulas, and as parts of the network."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.network.convolution import ConvolutionBlock, InstanceNorm, SeparableDownsampling
from nnunetv2_factorizer.network.settings import BlockSettings

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def make(num_axes: int, **kwargs: Any) -> Factorizer:
    return Factorizer(
        2, 3, 3, [8, 16, 16], CONVS[num_axes], [1, 2, 2], head_dim=4, window_size=4, position_embedding=False,
        local_path="depthwise", convolution_stages=2, downsampling="separable", deep_supervision=True, **kwargs,
    )  # fmt: skip


@pytest.mark.parametrize("kernel", [(3, 3), (1, 3)])
def test_a_block_is_its_formula(kernel: tuple[int, int]) -> None:
    settings = BlockSettings(
        channels=6, conv_op=nn.Conv2d, matricize="swin", size=None, window=(4, 4), head_dim=2, rank=1, num_iters=5,
        solver="hals", mlp_ratio=2, dropout=0.0, nmf=True, local_path="none", convolution=True, kernel=kernel,
    )  # fmt: skip
    block = ConvolutionBlock(settings)
    for norm in (block.norm1, block.norm2):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)

    def half(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
        assert conv.weight.shape == (6, 6, *kernel)
        y = functional.conv2d(x, conv.weight, padding="same")
        return functional.instance_norm(y) * norm.weight[:, None, None] + norm.bias[:, None, None]

    def relu(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.01 * x)

    x = torch.randn(3, 6, 9, 7)
    expected = relu(x + half(relu(half(x, block.conv1, block.norm1)), block.conv2, block.norm2))
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_training_and_inference_normalise_as_nnunets_instance_norm(num_axes: int) -> None:
    ours, x = InstanceNorm(5), 3 * torch.randn(2, 5, *[6] * num_axes) + 1
    theirs = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[num_axes](5, affine=True)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.copy_(nn.init.normal_(ours.get_parameter(name)))
    inputs = x.clone().requires_grad_(), x.clone().requires_grad_()
    outputs = ours(inputs[0]), theirs(inputs[1])
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), outputs[1], rtol=1e-4, atol=1e-5)
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-4, atol=1e-4)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs.get_parameter(name).grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stride", [(2, 2, 2), (1, 2, 2), (1, 1, 2)])
def test_downsampling_has_the_size_of_the_papers_and_overlaps(stride: tuple[int, int, int]) -> None:
    layer = SeparableDownsampling(nn.Conv3d, 4, 8, stride)
    x = torch.randn(1, 4, 6, 8, 8, requires_grad=True)
    y = layer(x)
    assert y.shape == nn.Conv3d(4, 8, stride, stride=stride)(x).shape
    y[0, :, 1, 1, 1].sum().backward()
    seen = [len(torch.unique(axis)) for axis in x.grad[0].sum(dim=0).nonzero().T]
    assert seen == [3 if s > 1 else 1 for s in stride]


@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_the_highest_resolutions_convolve_and_the_others_factorize(num_axes: int) -> None:
    network = make(num_axes)
    assert list(network.blocks) == ["encoder.stages.2.0"]
    depthwise = [isinstance(layer, nn.Sequential) for layer in network.encoder.downsamplings]
    assert depthwise == [False, True]
    kinds = [[type(block) is ConvolutionBlock for block in stage] for stage in network.decoder.stages]
    assert kinds == [[True], [True]]
    outputs = network(torch.randn(1, 2, *[16] * num_axes))
    assert [tuple(o.shape) for o in outputs] == [(1, 3, *[n] * num_axes) for n in (16, 8)]
    sum(o.square().mean() for o in outputs).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_blocks_are_counted_as_elsewhere() -> None:
    network = make(2, n_blocks_per_stage=[2, 1, 3], n_blocks_per_stage_decoder=[1, 2])
    assert [len(stage) for stage in network.encoder.stages] == [2, 1, 3]
    assert [len(stage) for stage in network.decoder.stages] == [1, 2]


def test_the_lowest_resolution_factorizes_however_few_there_are() -> None:
    network = Factorizer(1, 2, 2, 8, nn.Conv2d, 2, convolution_stages=2, position_embedding=False)
    assert list(network.blocks) == ["encoder.stages.1.0"]


def test_convolutions_do_not_reach_across_thick_slices_where_the_plans_say_so() -> None:
    network = make(3, kernel_sizes=[[1, 3, 3], [3, 3, 3], [3, 3, 3]])
    shapes = [network.encoder.stages[i][0].conv1.weight.shape[2:] for i in (0, 1)]
    shapes += [network.decoder.stages[i][0].conv2.weight.shape[2:] for i in (0, 1)]
    assert shapes == [(1, 3, 3), (3, 3, 3), (3, 3, 3), (1, 3, 3)]


@pytest.mark.parametrize(
    ("kernel_sizes", "message"),
    [
        (2, r"kernel_sizes must be odd, so that a convolution keeps the size, got \(2, 2\)"),
        (0, "kernel_sizes must be a whole number of at least 1, got 0"),
        ([3, 3], r"kernel_sizes must be one value or a list of 3, one a stage, got \[3, 3\]"),
    ],
)
def test_refuses_other_kernels(kernel_sizes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(2, kernel_sizes=kernel_sizes)


def test_refuses_a_negative_number_of_stages() -> None:
    with pytest.raises(ValueError, match="convolution_stages must be 0 or positive, got -1"):
        Factorizer(1, 2, 3, 8, nn.Conv2d, 2, convolution_stages=-1, position_embedding=False)


def test_refuses_an_unknown_downsampling() -> None:
    with pytest.raises(ValueError, match="downsampling must be one of 'patch', 'separable', got 'max'"):
        Factorizer(1, 2, 3, 8, nn.Conv2d, 2, downsampling="max", position_embedding=False)
