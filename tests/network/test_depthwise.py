"""Depthwise convolutions as a GPU computes them, against PyTorch's: the operator, and its kernels interpreted."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_factorizer.factorization.kernels import trial
from nnunetv2_factorizer.network import depthwise as module
from nnunetv2_factorizer.network.depthwise import depthwise
from nnunetv2_factorizer.network.memory import AsOnGpu
from tests.conftest import relative_error

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
CASES: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]] = [
    # size, kernel, stride, channels
    ((5, 3, 5), (3, 3, 3), (1, 1, 1), 3),
    ((5, 3, 5), (3, 3, 3), (2, 2, 2), 3),
    ((2, 4, 5), (1, 3, 3), (1, 2, 2), 3),
    ((9, 10), (3, 3), (1, 1), 4),
    ((5, 4), (3, 1), (2, 1), 4),
    ((11,), (3,), (2,), 2),
]


def convolution(kernel: tuple[int, ...], stride: tuple[int, ...], channels: int) -> Any:
    padding = tuple(k // 2 for k in kernel)
    return CONVS[len(kernel)](channels, channels, kernel, stride=stride, padding=padding, groups=channels)


def results(function: Any, conv: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, and gradients with respect to input, weight and bias."""
    x = x.clone().requires_grad_()
    y = function(x)
    grad = torch.linspace(-1, 2, y.numel()).view(y.shape).to(y.dtype)
    return [y, *torch.autograd.grad(y, [x, *conv.parameters()], grad)]


def on_gpu(conv: Any, x: Tensor, **kwargs: Any) -> Tensor:
    with AsOnGpu():
        return depthwise(conv, x, **kwargs)


@pytest.mark.parametrize(("size", "kernel", "stride", "channels"), CASES)
def test_a_gpus_path_is_the_convolution(
    size: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], channels: int
) -> None:
    conv, x = convolution(kernel, stride, channels), torch.randn(2, channels, *size)
    for actual, expected in zip(results(lambda x: on_gpu(conv, x), conv, x), results(conv, conv, x), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_the_residual_is_in_the_weight(num_axes: int) -> None:
    conv, x = convolution((3,) * num_axes, (1,) * num_axes, 4), torch.randn(2, 4, *[5] * num_axes)
    actual = results(lambda x: on_gpu(conv, x, residual=True), conv, x)
    expected = results(lambda x: x + conv(x), conv, x)
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_under_autocast_it_keeps_the_type_of_the_volume(dtype: torch.dtype) -> None:
    conv, x = convolution((3, 3), (1, 1), 4), torch.randn(2, 4, 8, 8).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        actual = results(lambda x: on_gpu(conv, x, residual=True), conv, x)
    expected = results(lambda x: x + conv(x), conv, x.float())
    assert [a.dtype for a in actual] == [dtype, dtype, torch.float32, torch.float32]
    for a, e in zip(actual, expected, strict=True):
        assert relative_error(a, e) < (1e-6 if dtype == torch.float32 else 1e-3)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_operator_is_one_for_pytorchs_compilers_and_has_two_derivatives(stride: int) -> None:
    volume = torch.randn(1, 2, 3, 4, dtype=torch.float64).movedim(1, -1).requires_grad_()  # of some strides
    weight = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)
    operator, arguments = torch.ops.nnunetv2_factorizer.depthwise, (volume, weight, bias, [stride, 1])
    torch.library.opcheck(operator.default, arguments)
    assert torch.autograd.gradgradcheck(lambda *tensors: operator(*tensors, [stride, 1]), arguments[:3])


@pytest.fixture
def kernels() -> Any:
    """On a GPU where there is one, else through Triton's interpreter."""
    pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA build for Linux only")
    from nnunetv2_factorizer.network import depthwise_kernels

    return depthwise_kernels


@pytest.mark.no_cover
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("size", "kernel", "stride", "channels"), CASES)
def test_kernels_are_the_convolution(
    size: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], channels: int, dtype: torch.dtype,
    kernels: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(kernels, "PROGRAMS", 2)  # so that each sums over several blocks
    conv, x = convolution(kernel, stride, channels), torch.randn(2, channels, *size).to(dtype)
    expected = results(conv, conv, x.float())
    grad = torch.linspace(-1, 2, expected[0].numel()).view(expected[0].shape).to(dtype)
    rows, grad, weight, bias = (t.detach().to(DEVICE) for t in (x, grad, conv.weight, conv.bias))
    rows, grad = rows.movedim(1, -1).contiguous(), grad.movedim(1, -1).contiguous()
    y = kernels.convolve(rows, weight, bias, list(stride))
    dx, *rest = kernels.convolve_backward(grad, rows, weight, list(stride))
    assert (y.dtype, dx.dtype) == (dtype, dtype)
    assert all(result.is_contiguous() for result in (y, dx, *rest))  # as compiled code is told
    for actual, e in zip((y.movedim(-1, 1), dx.movedim(-1, 1), *rest), expected, strict=True):
        assert relative_error(actual.cpu(), e) < {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}[dtype]


@pytest.fixture
def trials() -> Iterator[None]:
    """None has been made before, and none is remembered."""
    trial.tried.clear()
    yield
    trial.tried.clear()


@pytest.mark.no_cover
@pytest.mark.usefixtures("trials")
def test_kernels_that_agree_with_pytorch_are_used(kernels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = torch.randn(1, 5, 2, device=DEVICE), torch.randn(2, 1, 3, device=DEVICE), torch.ones(2)
    expected = torch.ops.nnunetv2_factorizer.depthwise(x.cpu(), weight.cpu(), bias, [1])
    assert module._usable(x, weight, [1])
    monkeypatch.setattr(module, "_plain", None)
    assert relative_error(module._cuda(x, weight, bias.to(DEVICE), [1]).cpu(), expected) < 1e-6


@pytest.mark.no_cover
@pytest.mark.usefixtures("trials")
@pytest.mark.parametrize("wrong", ["numbers", "compiler"])
def test_other_kernels_are_not(wrong: str, kernels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def convolve(x: Tensor, *_: Any) -> Tensor:
        if wrong == "compiler":
            raise RuntimeError("no C compiler")
        return torch.full_like(x, torch.nan)

    monkeypatch.setattr(kernels, "convolve", convolve)
    conv, x = convolution((3,), (1,), 2), torch.randn(1, 5, 2)
    reason = "no C compiler" if wrong == "compiler" else "not PyTorch's"
    with pytest.warns(UserWarning, match=rf"do not run on cpu for 2 channels in float32 \(.*{reason}.*slower path"):
        y = module._cuda(x, conv.weight.detach(), conv.bias.detach(), [1])
    torch.testing.assert_close(y.movedim(-1, 1), conv(x.movedim(-1, 1)))
    module._backward_cuda(x, x, conv.weight.detach(), [1])  # warns no second time


COMPILE = """
import torch

from nnunetv2_factorizer.network import depthwise_kernels as kernels
from tests.cross_compile import cross_compile

weight = torch.zeros(32, 1, 3, 3, 3)
size = 128, 128, 128
convolution = {"x": "*fp16", "weight": "*fp32", "out": "*fp16"}
cases = [
    (kernels._convolution_kernel, {**convolution, "bias": "*fp32"}, kernels.BLOCKS, {"MIRRORED": False}, 8),
    (kernels._convolution_kernel, convolution, kernels.BLOCKS, {"MIRRORED": True, "bias": None}, 8),
    (kernels._sums_kernel, {"grad": "*fp16", "x": "*fp16", "sums": "*fp32"}, kernels.SUMMED_BLOCKS, {"PLACES": 32}, 4),
]
for kernel, pointers, blocks, more, warps in cases:
    launch = kernels._launch(size, size, weight, [1, 1, 1], blocks[3])[1] | more | {"num_warps": warps}
    for capability in (80, 90):
        code = cross_compile(kernel, pointers, launch, capability)
        print(kernel.__name__, capability, code[:3])
        assert code.spilled == 0, code[:3]
"""


def test_kernels_compile_for_a_gpu_and_spill_no_registers(kernels: Any) -> None:
    """The interpreter accepts more than the compiler does; that one needs no GPU."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
