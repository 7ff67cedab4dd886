"""The layers of a block that work on each voxel alone, for which a GPU gets kernels of our own.

Before mixing `LayerNorm, linear`; after it `y = x + linear(mixed)` and `z = y + MLP(LayerNorm(y))`. PyTorch reads and
writes a volume for each layer; our kernels read what is given and write the result (benchmarks/REPORT.md). They are for
16, 32 and 64 channels in half precision. All else, and what kernels fail at, PyTorch does, as on a CPU.

The weight and the bias of a layer norm are put into the linear layer that follows: with the normalised voxel `n`,
`(n * gamma + beta) W^T + b = n (W * gamma)^T + (W beta + b)`. So are their gradients: no kernel sums for them.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_factorizer.factorization.kernels import power_of_two, trial
from nnunetv2_factorizer.factorization.precision import full_precision
from nnunetv2_factorizer.network.chunks import autograd
from nnunetv2_factorizer.network.recompute import Fused, Gradients

CHANNELS = (16, 32, 64)
"""With more a program has not enough registers for the sums that make the gradients of the weights."""

HIDDEN = 256
"""Channels of the MLP, at most; a power of two."""


def recompute_per_stage(arch_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The argument `recompute` of a Factorizer that is to run fast on a GPU where memory is left over.

    With kernels, computing again moves fewer bytes than reading what was kept. Stages that have none keep it: compiled
    by PyTorch, they then move half as many bytes.
    """
    features = arch_kwargs["features_per_stage"]
    widths = [features] * arch_kwargs["n_stages"] if isinstance(features, int) else features
    return {"recompute": [width in CHANNELS for width in widths]}


def _before(x: Tensor, gamma: Tensor, beta: Tensor, w: Tensor) -> Tensor:
    """On rows `(N, C)`, in PyTorch."""
    return functional.linear(functional.layer_norm(x, x.shape[1:], gamma, beta), w)


def _after(
    x: Tensor, mixed: Tensor, w: Tensor, b: Tensor, gamma: Tensor, beta: Tensor,
    w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor,
) -> Tensor:  # fmt: skip
    y = x + functional.linear(mixed, w, b)
    n = functional.layer_norm(y, x.shape[1:], gamma, beta)
    return y + functional.linear(functional.gelu(functional.linear(n, w1, b1)), w2, b2)


def _before_fused(inputs: list[Tensor], parameters: list[Tensor], dtype: torch.dtype) -> Tensor:
    from nnunetv2_factorizer.network import voxelwise_kernels

    gamma, beta, w = map(full_precision, parameters)
    return voxelwise_kernels.before(inputs[0], *_folded(gamma, beta, w, dtype))


def _before_gradients(grad: Tensor, inputs: list[Tensor], parameters: list[Tensor], dtype: torch.dtype) -> Gradients:
    from nnunetv2_factorizer.network import voxelwise_kernels

    gamma, beta, w = map(full_precision, parameters)
    dx, dw, db = voxelwise_kernels.before_backward(grad, inputs[0], _folded(gamma, beta, w, dtype)[0])
    return [dx, *_unfolded(dw, db, gamma, beta, w)]


def _after_fused(inputs: list[Tensor], parameters: list[Tensor], dtype: torch.dtype) -> Tensor:
    from nnunetv2_factorizer.network import voxelwise_kernels

    x, mixed = inputs
    dtype_of_result = torch.promote_types(x.dtype, dtype)
    return voxelwise_kernels.after(x, mixed, dtype_of_result, *_after_weights(parameters, dtype))


def _after_gradients(grad: Tensor, inputs: list[Tensor], parameters: list[Tensor], dtype: torch.dtype) -> Gradients:
    from nnunetv2_factorizer.network import voxelwise_kernels

    *weights, _ = _after_weights(parameters, dtype)
    dx, dmixed, dw, db, dw1, db1, dw2, db2 = voxelwise_kernels.after_backward(grad, *inputs, *weights)
    _, _, gamma, beta, w1, *_ = map(full_precision, parameters)
    dgamma, dbeta, dw1 = _unfolded(dw1, db1, gamma, beta, w1)
    return [dx, dmixed, dw, db, dgamma, dbeta, dw1, db1, dw2.T.contiguous(), db2]


def _after_weights(parameters: list[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """`w`, `b`, `w1`, `b1`, `w2` and `b2` as the kernels have them."""
    w, b, gamma, beta, w1, b1, w2, b2 = map(full_precision, parameters)
    w1, bias = _folded(gamma, beta, w1, dtype)
    return w.to(dtype).contiguous(), b, w1, bias + b1, w2.T.to(dtype).contiguous(), b2


def _folded(gamma: Tensor, beta: Tensor, w: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The linear layer with a layer norm's weight and bias in it: its weight, and the bias in full precision."""
    return (w * gamma).to(dtype).contiguous(), (w * beta).sum(1)


def _unfolded(dw: Tensor, db: Tensor, gamma: Tensor, beta: Tensor, w: Tensor) -> Gradients:
    """The gradients of `gamma`, `beta` and `w`, from those of what is folded."""
    db = db[:, None]
    return [(w * dw).sum(0), (w * db).sum(0), dw * gamma + db * beta]


def _forward(name: str, inputs: list[Tensor], parameters: list[Tensor], autocast: torch.dtype | None) -> Tensor | None:
    dtype = autocast or inputs[0].dtype
    if not _usable(name, inputs, parameters, dtype):
        return None
    return _KERNELS[name][1]([x.contiguous() for x in inputs], parameters, dtype)


def _backward(
    name: str, grad: Tensor, inputs: list[Tensor], parameters: list[Tensor], autocast: torch.dtype | None
) -> Gradients | None:
    """In the types of what they are gradients of."""
    dtype = autocast or inputs[0].dtype
    if not _usable(name, inputs, parameters, dtype):
        return None
    gradients = _KERNELS[name][2](grad.contiguous(), [x.contiguous() for x in inputs], parameters, dtype)
    return [g.to(t.dtype) for g, t in zip(gradients, [*inputs, *parameters], strict=True)]


_KERNELS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], Callable[..., Gradients]]] = {
    "before": (_before, _before_fused, _before_gradients),
    "after": (_after, _after_fused, _after_gradients),
}
"""In PyTorch, and by kernels forward and backward."""

BEFORE = Fused(partial(_forward, "before"), partial(_backward, "before"))
"""`inputs` are `x`; `parameters` those of layer norm and linear layer."""

AFTER = Fused(partial(_forward, "after"), partial(_backward, "after"))
"""`inputs` are `x` and `mixed`; `parameters` those of linear layer, layer norm, and the MLP's two linear layers."""


def _usable(name: str, inputs: list[Tensor], parameters: list[Tensor], dtype: torch.dtype) -> bool:
    """Whether the kernels do this work, in `dtype`; warns once for each setting where they ought to and do not."""
    x, types = inputs[0], tuple(t.dtype for t in inputs)
    channels, hidden = x.shape[-1], parameters[-2].shape[-1] if name == "after" else 0
    if not _fits(channels, hidden) or dtype not in (torch.float16, torch.bfloat16):
        return False
    if not {*types, *(p.dtype for p in parameters)} <= {dtype, torch.float32}:
        return False
    setting = (name, x.device, types, dtype, channels, hidden)
    where = f"on {x.device} for {channels} channels in {str(dtype).removeprefix('torch.')}"
    return trial.usable(setting, lambda: _results(*setting), dtype, f"the layers {name} mixing", where)


def _fits(channels: int, hidden: int) -> bool:
    return channels in CHANNELS and (hidden == 0 or (16 <= hidden <= HIDDEN and power_of_two(hidden) == hidden))


def why_not(device: torch.device) -> str | None:
    """What goes wrong in what nnU-Net trains a Factorizer with: fp16, 32 channels, an MLP of 64."""
    for name, hidden in (("before", 0), ("after", 64)):
        types = (torch.float16,) * (1 if name == "before" else 2)
        setting = (name, device, types, torch.float16, 32, hidden)
        reason = trial.why_not(setting, partial(_results, *setting), torch.float16)
        if reason is not None:
            return reason
    return None


def _results(
    name: str, device: torch.device, types: tuple[torch.dtype, ...], dtype: torch.dtype, channels: int, hidden: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """On a few rows, of which the last tile is not full; expected is what float32 gives."""
    trial.require_tensor_cores(device)
    generator = torch.Generator().manual_seed(0)  # the user's random numbers stay as they are

    def random(*size: int) -> Tensor:
        return torch.randn(size, generator=generator).to(device)

    def linear(height: int, width: int) -> Tensor:
        return random(height, width) / width**0.5

    rows = 150
    inputs = [random(rows, channels).to(t) for t in types]
    norm = [1 + random(channels) / 4, random(channels)]
    parameters = [*norm, linear(channels, channels)]
    if name == "after":
        mlp = [linear(hidden, channels), random(hidden), linear(channels, hidden), random(channels)]
        parameters = [linear(channels, channels), random(channels), *norm, *mlp]
    plain, forward, backward = _KERNELS[name]
    result = forward(inputs, parameters, dtype)
    grad = random(rows, channels).to(result.dtype)
    with autograd():
        leaves = [t.to(torch.float32, copy=True).requires_grad_() for t in (*inputs, *parameters)]
        expected = plain(*leaves)
        gradients = torch.autograd.grad(expected, leaves, grad.float())
    yield result, expected.detach()
    yield from zip(backward(grad, inputs, parameters, dtype), gradients, strict=True)
