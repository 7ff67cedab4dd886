"""What a budget is, how it is cut into epochs, and what is no budget."""

import pytest

from nnunetv2_factorizer.compare.budget import Budget, Schedule, parse_budget, schedule_of
from nnunetv2_factorizer.errors import UserError


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("1000 iterations", Schedule(10, 100)),
        ("250 iterations", Schedule(10, 25)),
        ("20 iterations", Schedule(2, 10)),
        ("250000 iterations", Schedule(1000, 250)),
    ],
)
def test_iterations_are_all_done(text: str, schedule: Schedule) -> None:
    assert schedule_of(parse_budget(text), step=1.0, validation=1.0) == schedule
    assert schedule.epochs * schedule.iterations == int(text.split()[0])


@pytest.mark.parametrize(("step", "validation"), [(0.1, 0.05), (1.0, 0.4), (9.0, 5.0), (100.0, 40.0)])
def test_time_is_used_and_not_exceeded(step: float, validation: float) -> None:
    budget = parse_budget("20  minutes")
    assert budget == Budget(seconds=1200)
    schedule = schedule_of(budget, step, validation)
    taken = schedule.epochs * (schedule.iterations * step + schedule.validations * validation)
    assert 0.7 * 1200 <= taken <= 1200
    assert schedule.validations >= 1


@pytest.mark.parametrize("text", ["1000", "iterations", "0 iterations", "1.5 iterations", "-3 minutes", "3 days", ""])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(UserError, match=r"is no budget\.\nGive a number above 0 and its unit") as caught:
        parse_budget(text)
    assert repr(text) in caught.value.cause


def test_what_cannot_be_cut_or_is_too_short() -> None:
    with pytest.raises(UserError, match=r'1015 iterations cannot .*\n.*--budget "1010 iterations"'):
        parse_budget("1015 iterations")
    with pytest.raises(UserError, match="1 iteration is too short for one validation"):
        parse_budget("1 iteration")
    with pytest.raises(UserError, match=r'10 seconds is too short for one validation: .*\n.*--budget "14 seconds"'):
        schedule_of(parse_budget("10 seconds"), step=5.0, validation=2.0)
