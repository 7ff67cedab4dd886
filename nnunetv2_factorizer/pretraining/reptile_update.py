"""The meta-update of Reptile, and the weights of the copies in it; formulas and what is ours are in `reptile`."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

EPSILON = 1e-12
"""Of IDW, far below the squared distances of copies that moved."""

Moves = Sequence[Sequence[Tensor]]
"""theta_l - theta for each copy l, tensor by tensor."""


def average(moves: Moves) -> Tensor:
    """AW: `(L,)`."""
    return torch.full((len(moves),), 1 / len(moves), dtype=torch.float64)


def inverse_distance(moves: Moves) -> Tensor:
    """IDW, Eq. 2: `(L,)`."""
    distances = [sum(m.cpu().double().square().sum() for m in move) for move in moves]
    weights = 1 / (torch.as_tensor(distances, dtype=torch.float64) + EPSILON)
    return weights / weights.sum()


def inverse_distance_from_the_others(moves: Moves) -> Tensor:
    """IDW by the words of the introduction: `(L,)`; the distance is from the mean of the other copies."""
    others = max(1, len(moves) - 1)
    total = [torch.stack(tensors).sum(0) for tensors in zip(*moves, strict=True)]
    return inverse_distance([[m - (t - m) / others for m, t in zip(move, total, strict=True)] for move in moves])


WEIGHTINGS: dict[str, Callable[[Moves], Tensor]] = {
    "AW": average,
    "IDW": inverse_distance,
    "IDW from the others": inverse_distance_from_the_others,
}


def meta_update(theta: Sequence[Tensor], moves: Moves, weights: Tensor, beta: float) -> list[Tensor]:
    """theta + beta sum_l w_l (theta_l - theta)."""
    factors = (beta * weights).tolist()
    return [t + sum(factor * move[i] for factor, move in zip(factors, moves, strict=True)) for i, t in enumerate(theta)]
