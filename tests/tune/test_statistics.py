"""Paired statistics, the Pareto front, and the choice."""

import numpy as np
import pandas as pd
import pytest

from nnunetv2_factorizer.tune.settings import TRAINED
from nnunetv2_factorizer.tune.statistics import choose, pareto_front, summarise


def measurements(settings: dict[str, tuple[float, float, float]], cases: int = 20, noise: float = 0) -> pd.DataFrame:
    """Settings to difference of Dice, its standard deviation over cases, and ratio of seconds; cases are unlike.

    With `noise` the ratio goes up and down with the cases by so much.
    """
    rng = np.random.default_rng(0)
    dice, seconds = rng.uniform(0.3, 0.9, cases), rng.uniform(1, 100, cases)
    rows = []
    for case in range(cases):
        order = list(settings) if case % 2 == 0 else list(settings)[::-1]
        for name in order:
            difference, spread, ratio = settings[name]
            rows.append(
                {
                    "setting": name,
                    "fold": "0",
                    "case": f"case_{case}",
                    "dice": dice[case] + difference + spread * rng.normal(),
                    "hd95": 10 * (1 - dice[case]) - 2 * difference,
                    "seconds": seconds[case] * ratio * (1 + (name != TRAINED) * noise * (-1) ** case),
                }
            )
    return pd.DataFrame(rows)


SETTINGS = {TRAINED: (0, 0, 1), "same": (0, 0, 0.9), "worse": (-0.2, 0, 0.5), "unsure": (0, 0.05, 0.4)}


def test_differences_are_paired() -> None:
    summary = summarise(measurements(SETTINGS))
    assert list(summary.index) == list(SETTINGS)
    worse = summary.loc["worse"]
    assert worse["dice_difference"] == pytest.approx(-0.2)
    assert worse[["dice_difference_low", "dice_difference_high"]].tolist() == pytest.approx([-0.2, -0.2])
    assert worse["hd95_difference"] == pytest.approx(0.4)
    assert worse[["seconds_ratio", "seconds_ratio_low", "seconds_ratio_high"]].tolist() == pytest.approx([0.5] * 3)
    assert worse["dice"] == pytest.approx(summary.loc[TRAINED, "dice"] - 0.2)
    assert (summary.loc[TRAINED, ["dice_difference_low", "dice_difference_high"]] == 0).all()


def test_interval_is_that_of_the_mean_and_the_same_every_time() -> None:
    first, second = (summarise(measurements(SETTINGS, cases=100)).loc["unsure"] for _ in range(2))
    assert first.equals(second)
    half = (first["dice_difference_high"] - first["dice_difference_low"]) / 2
    assert half == pytest.approx(1.96 * 0.05 / 100**0.5, rel=0.25)
    assert first["dice_difference_low"] < first["dice_difference"] < first["dice_difference_high"]


def test_same_name_in_two_folds_is_two_cases() -> None:
    one = measurements(SETTINGS, cases=2)
    both = pd.concat([one, one.assign(fold="1", dice=one["dice"] - 0.1)])
    assert summarise(both).loc[TRAINED, "dice"] == pytest.approx(one[one["setting"] == TRAINED]["dice"].mean() - 0.05)


def test_front_is_what_nothing_beats_in_both() -> None:
    summary = pd.DataFrame(
        {"seconds_ratio": [1, 0.9, 0.5, 0.6, 0.9, 1.2], "dice": [0.8, 0.8, 0.5, 0.4, 0.7, 0.81]}, index=list("abcdef")
    )
    assert pareto_front(summary) == ["c", "b", "f"]


def test_choice_is_the_fastest_within_the_budget() -> None:
    summary = summarise(measurements(SETTINGS))
    assert choose(summary, 0.005)[0] == "same"
    assert choose(summary, 0.1)[0] == "unsure"
    assert choose(summary, 0.3)[0] == "unsure"
    assert choose(summary.drop("unsure"), 0.3)[0] == "worse"


def test_what_is_not_measurably_faster_is_not_chosen() -> None:
    summary = summarise(measurements({TRAINED: (0, 0, 1), "noise": (0, 0, 0.999)}, noise=0.05))
    assert summary.loc["noise", "seconds_ratio_low"] < 1 < summary.loc["noise", "seconds_ratio_high"]
    chosen, reason = choose(summary, 0.005)
    assert chosen == TRAINED
    assert "measurably faster" in reason


@pytest.mark.parametrize("cases", [1, 2, 9])
def test_few_cases_change_nothing(cases: int) -> None:
    summary = summarise(measurements(SETTINGS, cases=cases))
    assert np.isnan(summary.loc["same", "dice_difference_low"]) == (cases == 1)
    assert summary.loc["same", "seconds_ratio"] == pytest.approx(0.9)
    chosen, reason = choose(summary, 0.005)
    assert chosen == TRAINED
    assert "fewer than 10 cases" in reason
