"""Muon: momentum, orthogonalised by Newton-Schulz (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

For matrices: the weights of linear layers and, flattened, of convolutions. AdamW moves everything else. PyTorch's own
`torch.optim.Muon` takes matrices only, one at a time. Here equal shapes are orthogonalised together.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""a, b and c of the quintic a X + (b X X^T + c (X X^T)^2) X, by which five steps bring singular values near 1."""

STEPS = 5
RMS = 0.2
"""Of the entries of an update at learning rate 1, which an update of AdamW has about (Liu et al. 2025,
https://arxiv.org/abs/2502.16982, equation 4): one learning rate then suits matrices of all shapes."""


class Muon(Optimizer):
    """Muon for the groups of parameters that say `matrices=True`, AdamW for the others.

    Args:
        groups: each with `params`, `lr` and `matrices`. A tensor of more than two axes counts as the matrix of its
            first axis and all others.
        weight_decay: decoupled, of both kinds of group.
        momentum: of Muon, in Nesterov's way.
        betas: of AdamW.
        eps: of AdamW.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        weight_decay: float = 1e-2,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(groups, {"weight_decay": weight_decay, "momentum": momentum, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Moves all parameters that have a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters and group["matrices"]:
                self._muon(parameters, group)
            elif parameters:
                self._adamw(parameters, group)
        return loss

    def _muon(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        gradients = _gradients(parameters)
        momenta = [self.state[p]["momentum_buffer"] for p in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        updates = torch._foreach_lerp(gradients, momenta, group["momentum"])  # Nesterov
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
        for i, update in enumerate(updates):
            by_shape[len(update), update[0].numel()].append(i)
        for shape, indices in by_shape.items():
            stack = torch.stack([updates[i].reshape(shape) for i in indices])
            scale = -group["lr"] * RMS * max(shape) ** 0.5
            for i, matrix in zip(indices, orthogonalise(stack), strict=True):
                parameters[i].add_(matrix.view(parameters[i].shape), alpha=scale)

    def _adamw(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p]["step"] = torch.tensor(0.0)
                self.state[p]["exp_avg"] = torch.zeros_like(p)
                self.state[p]["exp_avg_sq"] = torch.zeros_like(p)
        names = ("exp_avg", "exp_avg_sq", "step")
        means, squares, steps = ([self.state[p][name] for p in parameters] for name in names)
        beta1, beta2 = group["betas"]
        adamw(
            parameters, _gradients(parameters), means, squares, [], steps, foreach=True, amsgrad=False, maximize=False,
            lr=group["lr"], beta1=beta1, beta2=beta2, weight_decay=group["weight_decay"], eps=group["eps"],
        )  # fmt: skip


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]


def orthogonalise(matrices: Tensor) -> Tensor:
    """Brings the singular values of `(number, rows, columns)` near 1, most to 0.7 to 1.2, and keeps their vectors.

    Every step multiplies X from the left with a polynomial P of its Gram matrix K = X X^T, which turns K into P K P.
    So the steps run on K and on the product Q of their polynomials, which are as small as the shorter side, and X, a
    flattened convolution 27 times as wide as high, is multiplied once, at the end ("Gram Newton-Schulz"). That needs
    float32: rounding makes eigenvalues of K negative, and in half precision the steps blow them up.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT.float() if tall else matrices.float()
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(1e-7)  # Then no singular value is above 1.
    a, b, c = COEFFICIENTS
    k = x @ x.mT
    identity = torch.eye(k.shape[1], device=k.device)
    q = None
    for step in range(STEPS):
        p = torch.baddbmm(k, k, k, beta=b, alpha=c).add_(identity, alpha=a)
        q = p if q is None else p @ q
        if step < STEPS - 1:
            k = p @ k @ p
    x = (q @ x).to(matrices.dtype)
    return x.mT if tall else x


def muon_groups(network: nn.Module, lr: float, adamw_lr: float) -> list[dict[str, Any]]:
    """Two groups for `Muon`: weights of linear layers and full convolutions; and biases, norms, heads and the like.

    Depthwise and other grouped convolutions hold many small matrices, and heads (`seg_layers` in nnU-Net) have a row
    for each class: AdamW suits both better.
    """
    layers = (nn.Linear, nn.modules.conv._ConvNd)
    matrices = {
        id(module.weight)
        for name, module in network.named_modules()
        if isinstance(module, layers) and getattr(module, "groups", 1) == 1 and "seg_layers" not in name.split(".")
    }
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if id(p) in matrices], "lr": lr, "matrices": True},
        {"params": [p for p in parameters if id(p) not in matrices], "lr": adamw_lr, "matrices": False},
    ]
    return [group for group in groups if group["params"]]
