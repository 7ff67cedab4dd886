"""AvaGrad against its formulas written out plainly, and by the properties that the paper claims."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_factorizer.training.optimizers import AvaGrad


def plain_steps(w: Tensor, gradients: list[Tensor], alpha: float, eps: float, weight_decay: float) -> Tensor:
    """All weights of a network as one vector, in double precision."""
    w = w.double().clone()
    m, v = torch.zeros_like(w), torch.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        g = g.double() + weight_decay * w
        m = 0.9 * m + 0.1 * g
        if t > 1:
            eta = 1 / ((v / (1 - 0.999 ** (t - 1))).sqrt() + eps)
            normalised = eta / (eta / len(eta) ** 0.5).norm()
            w = w - alpha * normalised * m / (1 - 0.9**t)
        v = 0.999 * v + 0.001 * g**2
    return w


def run(
    gradients: list[Tensor], lr: float = 10.0, eps: float = 0.1, weight_decay: float = 0.0, start: Tensor | None = None
) -> Tensor:
    """The same with the optimiser; the vector is cut into two tensors of a group and one of another."""
    start = torch.zeros_like(gradients[0]) if start is None else start
    sizes = [5, 12, len(start) - 17]
    parameters = [nn.Parameter(part.clone()) for part in start.split(sizes)]
    groups: list[dict[str, Any]] = [{"params": parameters[:2]}, {"params": parameters[2:]}]
    optimizer = AvaGrad(groups, lr, eps=eps, weight_decay=weight_decay)
    for gradient in gradients:
        for p, part in zip(parameters, gradient.split(sizes), strict=True):
            p.grad = part.clone()
        optimizer.step()
    return torch.cat([p.detach() for p in parameters])


def gradients(steps: int = 4, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    size = torch.logspace(-3, 1, 40)
    return [scale * size * torch.randn(40, generator=generator) for _ in range(steps)]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_equal_the_plain_formulation(weight_decay: float) -> None:
    start = torch.randn(40)
    expected = plain_steps(start, gradients(), 0.1, 0.1, weight_decay)
    actual = run(gradients(), 0.1, 0.1, weight_decay, start)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-6)


def test_the_first_step_moves_nothing() -> None:
    start = torch.randn(40)
    assert torch.equal(run(gradients(1), start=start), start)
    assert not torch.equal(run(gradients(2), start=start), start)


def test_gradients_and_eps_of_another_scale_scale_the_step() -> None:
    torch.testing.assert_close(run(gradients(scale=8.0), eps=0.8), 8 * run(gradients(), eps=0.1))


def test_large_eps_is_averaged_momentum() -> None:
    first, second = gradients(2)
    m = (0.9 * 0.1 * first + 0.1 * second) / (1 - 0.9**2)
    torch.testing.assert_close(run([first, second], lr=0.5, eps=1e6), -0.5 * m, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("eps", [1e-3, 0.1, 10.0])
def test_learning_rates_have_a_root_mean_square_of_lr(eps: float) -> None:
    first, second = gradients(2)
    m = (0.9 * 0.1 * first + 0.1 * second) / (1 - 0.9**2)
    rates = run([first, second], lr=3.0, eps=eps) / -m
    assert float(rates.square().mean().sqrt()) == pytest.approx(3.0, rel=1e-4)


def test_parameters_without_gradient_do_not_count() -> None:
    a, b = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(100))
    optimizer = AvaGrad([a, b], lr=1.0)
    for _ in range(2):
        a.grad = torch.ones(3)
        optimizer.step()
    assert torch.equal(b, torch.ones(100))
    torch.testing.assert_close(a, torch.full((3,), -1.0))
