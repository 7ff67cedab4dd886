"""Which model a stage continues, when it opens a new one, and which model takes an image."""

from pathlib import Path

import numpy as np
import pytest

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.preprocessed_cases import FoldCases
from nnunetv2_factorizer.lifelong.methods.odex import HISTORIES, Choice, choose, threshold, to_models
from nnunetv2_factorizer.lifelong.prediction import take
from nnunetv2_factorizer.lifelong.seen import require_enough, to_stages
from tests.lifelong.stages import CASES, features, seen, training, write_pool

EVERY = pytest.mark.parametrize("how", HISTORIES)


def choice(entries: list, histories: list[tuple[int, ...]], stage: dict, how: str) -> Choice:
    distances = to_stages(training(stage), entries)
    return choose(distances, [entry.held_out for entry in entries], histories, how)


@EVERY
def test_an_identical_stage_never_expands_and_a_disjoint_one_does(how: str) -> None:
    same = features(0)
    entries, history = seen(same), [(0,)]
    for stages in range(1, 4):  # again and again
        chosen = choice(entries, history, same, how)
        assert not chosen.opens
        assert choice(entries, history, features(7), how).opens is False  # other cases of the same scanner
        assert choice(entries, history, features(7, shift=6), how).opens
        entries, history = seen(*[same] * (stages + 1)), [(*history[0], stages)]


def test_distances_are_those_of_the_formula() -> None:
    one, two = features(0), features(1, shift=3)
    entries = seen(one, two)
    z = training(features(2, shift=1))[:4]
    plain = np.array([[e.entry.distance(x) / e.unit for e in entries] for x in z])
    np.testing.assert_allclose(to_stages(z, entries), plain)
    members = to_models(plain, [(0,), (0, 1)], "sum")
    np.testing.assert_allclose(members, np.column_stack([plain[:, 0], plain[:, 0] + plain[:, 1]]))
    np.testing.assert_allclose(to_models(plain, [(0, 1)], "mean")[:, 0], plain.mean(1))
    np.testing.assert_allclose(to_models(plain, [(0, 1)], "min")[:, 0], plain.min(1))
    # Held-out cases of the second stage: to the first entry, and to its own without them; 95 % of the latter below 1.
    held_out = entries[1].held_out
    assert held_out.shape == (25, 2)
    assert np.mean(held_out[:, 1] <= 1) == pytest.approx(0.96)  # of 25 the 24th is the unit
    assert threshold(held_out, (0, 1), "mean") == pytest.approx(2 * held_out.mean())


def test_by_sum_a_copy_is_farther_than_its_origin_for_every_image(tmp_path: Path) -> None:
    """Eq. 4 as it is printed: nothing would ever be predicted by the second member. By mean or min it takes its own."""
    of_a, of_b = training(features(3)), training(features(4, shift=8))
    expected = {"sum": (0, 0), "mean": (0, 1), "min": (0, 1)}
    for how, (a, b) in expected.items():
        pool = write_pool(tmp_path / how, how=how)
        assert {taken.member for taken in take(pool, of_a)} == {a}
        assert {taken.member for taken in take(pool, of_b)} == {b}
        assert take(pool, of_b)[0].distance == min(take(pool, of_b)[0].distances)


def test_the_nearest_member_goes_on() -> None:
    entries = seen(features(0), features(1, shift=8))
    chosen = choice(entries, [(0,), (0, 1)], features(5, shift=8), "min")
    assert (chosen.nearest, chosen.opens) == (1, False)
    assert chosen.distances[1] < 1 < chosen.distances[0]


def test_a_stage_of_one_case() -> None:
    require_enough(CASES, "Dataset001_A")
    with pytest.raises(UserError, match="the stage Dataset001_A has 1 training cases") as caught:
        require_enough(FoldCases(None, ["case"], []), "Dataset001_A")  # type: ignore[arg-type]
    assert "nnUNetTrainer_AdaptAll" in caught.value.remedy
