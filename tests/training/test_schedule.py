"""The learning rate: the paper's at full length, adapted to short trainings, exact after a resumption."""

import warnings

import pytest
import torch
from torch.optim import AdamW

from nnunetv2_factorizer.training.schedule import ByIteration, peak_learning_rate, warmup_cosine, warmup_steps


def test_paper_values_at_full_length() -> None:
    assert peak_learning_rate(100_000) == pytest.approx(1e-4)
    assert warmup_steps(100_000) == 2_000
    assert warmup_cosine(0, 100_000) == pytest.approx(1 / 2_000)
    assert warmup_cosine(999, 100_000) == pytest.approx(0.5)
    assert warmup_cosine(2_000, 100_000) == pytest.approx(1)
    assert warmup_cosine(51_000, 100_000) == pytest.approx(0.5)
    assert warmup_cosine(100_000, 100_000) == pytest.approx(0, abs=1e-9)


def test_short_trainings_take_larger_steps_within_bounds() -> None:
    assert peak_learning_rate(1_000) == pytest.approx(1e-3)
    assert peak_learning_rate(10) == pytest.approx(1e-3)
    assert peak_learning_rate(25_000) == pytest.approx(2e-4)
    assert peak_learning_rate(250_000) == pytest.approx(1e-4)
    assert warmup_steps(1_000) == 250


@pytest.mark.parametrize("total", [1, 3, 1_000, 25_000])
@pytest.mark.parametrize("warmup", [None, 0, 1])
def test_rises_to_the_peak_and_falls_to_zero(total: int, warmup: int | None) -> None:
    values = [warmup_cosine(step, total, warmup) for step in range(total + 1)]
    top = values.index(max(values))
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)
    assert values[-1] == (1 if warmup == total else pytest.approx(0, abs=1e-9))


def test_goes_by_iteration_and_resumes_at_an_epoch() -> None:
    def schedule() -> tuple[AdamW, ByIteration]:
        """Of two groups with learning rates of their own."""
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 0.1)]
        optimizer = AdamW(groups)
        return optimizer, ByIteration(optimizer, lambda step: warmup_cosine(step, 20), 5)

    optimizer, through = schedule()
    seen = []
    for epoch in range(4):
        through.step(epoch)
        for _ in range(5):
            seen.append([group["lr"] for group in optimizer.param_groups])
            through.step()
    expected = [[warmup_cosine(step, 20), 0.1 * warmup_cosine(step, 20)] for step in range(20)]
    assert seen == [pytest.approx(rates) for rates in expected]
    optimizer, resumed = schedule()
    resumed.step(2)
    assert [group["lr"] for group in optimizer.param_groups] == seen[10]
    resumed.step()
    assert [group["lr"] for group in optimizer.param_groups] == seen[11]


def test_warnings_of_others_are_shown_once() -> None:
    """`catch_warnings` in each iteration would show them in each iteration."""
    optimizer = AdamW([torch.nn.Parameter(torch.zeros(1))])
    schedule = ByIteration(optimizer, lambda step: 1.0, 5)
    schedule.step(0)
    shown = []
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = lambda *arguments, **_: shown.append(arguments)
        for _ in range(5):
            warnings.warn("of somebody else", stacklevel=1)
            optimizer.step()
            schedule.step()
    assert len(shown) == 1
