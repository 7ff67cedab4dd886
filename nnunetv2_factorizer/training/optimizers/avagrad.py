"""AvaGrad: adaptive steps whose size does not depend on eps (Savarese et al., CVPR 2021, algorithm 2).

Source of the training of nnU-Net with it: Sheikh, Klasen, Schultz, DART 2022, section 2.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer


class AvaGrad(Optimizer):
    """`w <- w - lr * eta / RMS(eta) * m` with `eta = 1 / (sqrt(v) + eps)`, all corrected for their start at zero.

    `m` and `v` are running means of the gradient g and of its square. `v` lags by one step: it does not know the
    gradient that it scales. The root mean square of eta is that of the whole network, so that the learning rates of all
    parameters have a root mean square of `lr`. The first step only fills the means.

    Args:
        params: of the network, in one group or several; those without a gradient take no part.
        lr: the paper's alpha.
        betas: of m and v; the paper does not give them, these are Adam's.
        eps: large against the square root of v, the step is averaged momentum.
        weight_decay: added to the gradient, as in nnU-Net's SGD.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 10.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 0.1,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Moves all parameters that have a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        moves = [self._update_means(group) for group in self.param_groups]
        etas = [eta for move in moves for eta in move.etas]
        if etas:
            squares = torch.stack([norm.square() for norm in torch._foreach_norm(etas)])
            rms = (squares.sum() / sum(eta.numel() for eta in etas)).sqrt()
        for move in moves:
            if move.parameters:
                torch._foreach_mul_(move.etas, move.directions)
                torch._foreach_div_(move.etas, rms)
                torch._foreach_add_(move.parameters, move.etas)
        return loss

    def _update_means(self, group: dict[str, Any]) -> "_Move":
        """Brings m and v of a group up to date; eta is that of the v before."""
        parameters = [p for p in group["params"] if p.grad is not None]
        for p in parameters:
            if not self.state[p]:
                self.state[p] = {"step": 0, "m": torch.zeros_like(p), "v": torch.zeros_like(p)}
            self.state[p]["step"] += 1
        if not parameters:
            return _Move([], [], [])
        beta1, beta2 = group["betas"]
        m, v = ([self.state[p][name] for p in parameters] for name in ("m", "v"))
        gradients = torch._foreach_mul(parameters, group["weight_decay"])
        torch._foreach_add_(gradients, [p.grad for p in parameters])
        torch._foreach_lerp_(m, gradients, 1 - beta1)
        moving = [p for p in parameters if self.state[p]["step"] > 1]
        move = _Move([], [], [])
        if moving:
            states = [self.state[p] for p in moving]
            scales = [-group["lr"] / (1 - beta1 ** state["step"]) for state in states]
            corrections = [1 - beta2 ** (state["step"] - 1) for state in states]
            etas = torch._foreach_div([state["v"] for state in states], corrections)
            torch._foreach_sqrt_(etas)
            torch._foreach_add_(etas, group["eps"])
            torch._foreach_reciprocal_(etas)
            move = _Move(moving, list(torch._foreach_mul([state["m"] for state in states], scales)), list(etas))
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, gradients, gradients, 1 - beta2)
        return move


class _Move(NamedTuple):
    """Of the parameters of a group that move in this step."""

    parameters: list[Tensor]
    directions: list[Tensor]
    """-lr m"""
    etas: list[Tensor]
