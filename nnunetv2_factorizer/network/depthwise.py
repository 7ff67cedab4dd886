"""Depthwise convolutions, for which a GPU gets kernels of our own.

In channels-last memory cuDNN's grouped kernels are known to take many times as long as reading and writing the volume.
Two Triton kernels move 12 bytes for each number of a volume in half precision, forward and backward together. 27
shifted multiply-adds move 18 where Inductor fuses them (benchmarks/REPORT.md), and pass over it 27 times where not.

It is an operator of `torch.library`: the same compiled or not, and nothing but its input is kept for the backward pass.
Where Triton cannot run the kernels, PyTorch adds the shifted volumes one by one.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from nnunetv2_factorizer.factorization.kernels import trial
from nnunetv2_factorizer.factorization.precision import full_precision

Gradients = tuple[Tensor, Tensor, Tensor]
"""With respect to the volume, the weight and the bias."""


def depthwise(convolution: _ConvNd, x: Tensor, *, residual: bool = False) -> Tensor:
    """`convolution(x)`, or `x + convolution(x)`: on a CPU by PyTorch, on a GPU by our kernels in the type of `x`.

    Args:
        convolution: depthwise, with a bias, of odd kernel sizes and padded by half of them.
        x: `(B, C, *S)`; channels-last memory is read as it is, any other is copied once.
        residual: whether to add `x`; the stride must be 1.
    """
    if not x.is_cuda:
        return x + convolution(x) if residual else convolution(x)
    assert convolution.bias is not None
    weight, bias = full_precision(convolution.weight), full_precision(convolution.bias)
    if residual:
        weight = weight + _identity(weight)
    rows = x.movedim(1, -1).contiguous()
    return _depthwise(rows, weight, bias, list(convolution.stride)).movedim(-1, 1)


def _identity(weight: Tensor) -> Tensor:
    """The convolution that changes nothing, `(C, 1, *K)`: 1 in the middle."""
    middle = weight.new_ones(len(weight), *[1] * (weight.ndim - 1))
    return functional.pad(middle, [k // 2 for k in reversed(weight.shape[2:]) for _ in range(2)])


def _plain(x: Tensor, weight: Tensor, bias: Tensor, stride: list[int]) -> Tensor:
    """From `(B, *S, C)` to `(B, *S_out, C)`; `weight` is `(C, 1, *K)`."""
    size = _output_size(x, stride)
    total = bias.to(full_precision(x[:0]).dtype).expand(size).contiguous()
    for factor, voxels in zip(_factors(weight), _shifted(_padded(x, weight), weight, size, stride), strict=True):
        total.addcmul_(voxels, factor)
    return total.to(x.dtype)


def _plain_backward(grad: Tensor, x: Tensor, weight: Tensor, stride: list[int]) -> Gradients:
    """For `grad` `(B, *S_out, C)` and `x` `(B, *S, C)`."""
    padded, size = _padded(x, weight), grad.shape
    dx = torch.zeros_like(padded, dtype=full_precision(x[:0]).dtype)
    for factor, voxels in zip(_factors(weight), _shifted(dx, weight, size, stride), strict=True):
        voxels.addcmul_(grad, factor)
    inside = [slice(k // 2, k // 2 + n) for k, n in zip(weight.shape[2:], x.shape[1:-1], strict=True)]
    grad = full_precision(grad)
    sums = [(voxels * grad).flatten(0, -2).sum(0) for voxels in _shifted(padded, weight, size, stride)]
    dweight, dbias = torch.stack(sums, dim=1).view(weight.shape), grad.flatten(0, -2).sum(0)
    result = torch.empty_like(x, memory_format=torch.contiguous_format).copy_(dx[(slice(None), *inside)])
    return result, dweight.to(weight.dtype), dbias.to(weight.dtype)


def _factors(weight: Tensor) -> Iterator[Tensor]:
    """The weights `(C,)` of each place in the kernel."""
    return iter(weight.flatten(1).unbind(1))


def _shifted(padded: Tensor, weight: Tensor, size: Sequence[int], stride: list[int]) -> Iterator[Tensor]:
    """For each place in the kernel, the voxels of a padded volume that it is multiplied with: views of that `size`."""
    for start in product(*(range(k) for k in weight.shape[2:])):
        axes = zip(start, size[1:-1], stride, strict=True)
        yield padded[(slice(None), *(slice(first, first + (n - 1) * s + 1, s) for first, n, s in axes))]


def _padded(x: Tensor, weight: Tensor) -> Tensor:
    return functional.pad(x, [0, 0, *(k // 2 for k in reversed(weight.shape[2:]) for _ in range(2))])


def _output_size(x: Tensor, stride: list[int]) -> tuple[int, ...]:
    return (len(x), *((n - 1) // s + 1 for n, s in zip(x.shape[1:-1], stride, strict=True)), x.shape[-1])


_depthwise = torch.library.custom_op("nnunetv2_factorizer::depthwise", _plain, mutates_args=())
_depthwise_backward = torch.library.custom_op(
    "nnunetv2_factorizer::depthwise_backward", _plain_backward, mutates_args=()
)


@_depthwise.register_kernel("cuda")
def _cuda(x: Tensor, weight: Tensor, bias: Tensor, stride: list[int]) -> Tensor:
    if not _usable(x, weight, stride):
        return _plain(x, weight, bias, stride)
    from nnunetv2_factorizer.network.depthwise_kernels import convolve

    return convolve(x.contiguous(), weight, bias, stride)


@_depthwise_backward.register_kernel("cuda")
def _backward_cuda(grad: Tensor, x: Tensor, weight: Tensor, stride: list[int]) -> Gradients:
    if not _usable(x, weight, stride):
        return _plain_backward(grad, x, weight, stride)
    from nnunetv2_factorizer.network.depthwise_kernels import convolve_backward

    return convolve_backward(grad.contiguous(), x.contiguous(), weight, stride)


def _usable(x: Tensor, weight: Tensor, stride: list[int]) -> bool:
    """Whether the kernels do this work; not in float64, since they sum in float32. Warns once where they ought to."""
    if x.dtype == torch.float64:
        return False
    setting = (x.device, x.dtype, tuple(weight.shape), tuple(stride))
    where = f"on {x.device} for {len(weight)} channels in {str(x.dtype).removeprefix('torch.')}"
    return trial.usable(("depthwise", *setting), lambda: _results(*setting), x.dtype, "depthwise convolutions", where)


def why_not(device: torch.device, dtype: torch.dtype, shape: tuple[int, ...], stride: tuple[int, ...]) -> str | None:
    """What goes wrong when the kernels work on a small volume, with a weight of this shape; None if nothing does."""
    setting = ("depthwise", device, dtype, shape, stride)
    return trial.why_not(setting, lambda: _results(device, dtype, shape, stride), dtype)


def _results(
    device: torch.device, dtype: torch.dtype, shape: tuple[int, ...], stride: tuple[int, ...]
) -> Iterator[tuple[Tensor, Tensor]]:
    """On a volume of 5 voxels an axis."""
    from nnunetv2_factorizer.network.depthwise_kernels import convolve, convolve_backward

    generator = torch.Generator().manual_seed(0)  # the user's random numbers stay as they are

    def random(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(size, generator=generator).to(device, dtype)

    x = random(1, *[5] * len(stride), shape[0], dtype=dtype)
    grad = random(*_output_size(x, list(stride)), dtype=dtype)
    weight, bias = random(*shape), random(shape[0])
    yield convolve(x, weight, bias, list(stride)), _plain(x, weight, bias, list(stride))
    backward = (grad, x, weight, list(stride))
    yield from zip(convolve_backward(*backward), _plain_backward(*backward), strict=True)


@_depthwise.register_fake
def _fake(x: Tensor, weight: Tensor, bias: Tensor, stride: list[int]) -> Tensor:
    return x.new_empty(_output_size(x, stride))


@_depthwise_backward.register_fake
def _backward_fake(grad: Tensor, x: Tensor, weight: Tensor, stride: list[int]) -> Gradients:
    return x.new_empty(x.shape), weight.new_empty(weight.shape), weight.new_empty(len(weight))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, ctx.stride = inputs
    ctx.save_for_backward(x, weight)


def _vjp(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    return *_depthwise_backward(grad, *ctx.saved_tensors, ctx.stride), None


def _keep_backward(ctx: Any, inputs: tuple[Any, ...], output: Gradients) -> None:
    *tensors, ctx.stride = inputs
    ctx.save_for_backward(*tensors)


def _vjp_backward(ctx: Any, ddx: Tensor, ddweight: Tensor, ddbias: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    """The second derivative: all three gradients are linear in `grad` and in `x` or `weight`."""
    grad, x, weight = ctx.saved_tensors
    of_grad = _depthwise(ddx, weight, ddbias, ctx.stride) + _depthwise(x, ddweight, 0 * ddbias, ctx.stride)
    of_x = _depthwise_backward(grad, x, ddweight, ctx.stride)[0]
    of_weight = _depthwise_backward(grad, ddx, weight, ctx.stride)[1]
    return of_grad, of_x, of_weight, None


_depthwise.register_autograd(_vjp, setup_context=_keep)
_depthwise_backward.register_autograd(_vjp_backward, setup_context=_keep_backward)
