"""A matrix product that keeps its precision on the way back, too."""

from typing import Any

import torch
from torch import Tensor

from nnunetv2_factorizer.factorization.precision import without_autocast


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` whose gradient is computed without autocast.

    `torch.compile` traces the backward pass of a network under the autocast of its forward pass, whatever was switched
    off inside. In half precision the products of a factorization overflow.

    Args:
        a: `(..., M, K)`.
        b: `(..., K, N)`, leading dimensions broadcast against those of `a`.
    """
    product: Tensor = _Matmul.apply(a, b)
    return product


class _Matmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        with without_autocast(grad):
            grad_a = (grad @ b.mT).sum_to_size(a.shape) if ctx.needs_input_grad[0] else None
            grad_b = (a.mT @ grad).sum_to_size(b.shape) if ctx.needs_input_grad[1] else None
        return grad_a, grad_b
