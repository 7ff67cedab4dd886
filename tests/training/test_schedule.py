"""The learning rate: the paper's at full length, adapted to short trainings, exact after a resumption."""

import pytest
import torch
from torch.optim import AdamW

from nnunetv2_factorizer.training.schedule import (
    WarmupCosineScheduler,
    learning_rate,
    peak_learning_rate,
    warmup_steps,
)


def test_paper_values_at_full_length() -> None:
    assert peak_learning_rate(100_000) == pytest.approx(1e-4)
    assert warmup_steps(100_000) == 2_000
    assert learning_rate(0, 100_000) == pytest.approx(1e-4 / 2_000)
    assert learning_rate(999, 100_000) == pytest.approx(0.5e-4)
    assert learning_rate(2_000, 100_000) == pytest.approx(1e-4)
    assert learning_rate(51_000, 100_000) == pytest.approx(0.5e-4)
    assert learning_rate(100_000, 100_000) == pytest.approx(0, abs=1e-12)


def test_short_trainings_take_larger_steps_within_bounds() -> None:
    assert peak_learning_rate(1_000) == pytest.approx(1e-3)
    assert peak_learning_rate(10) == pytest.approx(1e-3)
    assert peak_learning_rate(25_000) == pytest.approx(2e-4)
    assert peak_learning_rate(250_000) == pytest.approx(1e-4)
    assert warmup_steps(1_000) == 250


@pytest.mark.parametrize("total", [1, 3, 1_000, 25_000])
def test_rises_to_the_peak_and_falls_to_zero(total: int) -> None:
    values = [learning_rate(step, total) for step in range(total + 1)]
    top = values.index(max(values))
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)
    assert values[-1] == pytest.approx(0, abs=1e-12)


def test_scheduler_goes_by_iteration_and_resumes_at_an_epoch() -> None:
    optimizer = AdamW([torch.nn.Parameter(torch.zeros(1))])
    through = WarmupCosineScheduler(optimizer, num_epochs=4, num_iterations_per_epoch=5)
    seen = []
    for epoch in range(4):
        through.step(epoch)
        for _ in range(5):
            seen.append(optimizer.param_groups[0]["lr"])
            through.step_iteration()
    assert seen == [learning_rate(step, 20) for step in range(20)]
    resumed = WarmupCosineScheduler(optimizer, num_epochs=4, num_iterations_per_epoch=5)
    resumed.step(2)
    assert optimizer.param_groups[0]["lr"] == seen[10]
