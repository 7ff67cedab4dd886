"""AUC, best Dice and sign against counting over all pairs and all thresholds."""

import json
import warnings
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nnunetv2_factorizer.explain.association import Association, associate

VOXELS = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30)


def counted(scores: NDArray, mask: NDArray) -> tuple[float, float]:
    """AUC as the share of pairs (label, other) in the right order, ties half, and the best Dice over all thresholds."""
    difference = scores[mask][:, None] - scores[~mask][None, :]
    area = float(((difference > 0) + 0.5 * (difference == 0)).mean())
    rule = np.greater_equal if area >= 0.5 else np.less_equal
    return area, max(dice(rule(scores, threshold), mask) for threshold in scores)


def dice(a: NDArray, b: NDArray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@settings(deadline=None)
@given(VOXELS)
def test_equals_counting_over_pairs_and_thresholds(voxels: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 7 for score, _ in voxels], np.float32).reshape(-1, 1, 1)
    mask = np.array([positive for _, positive in voxels]).reshape(-1, 1, 1)
    found = associate(scores, {"label": mask})["label"]
    if mask.all() or not mask.any():
        assert found == Association()
        return
    area, best = counted(scores.ravel(), mask.ravel())
    assert found.auc == pytest.approx(area)
    assert found.dice == pytest.approx(best)
    assert found.threshold is not None
    rule = np.greater_equal if found.sign == 1 else np.less_equal
    assert dice(rule(scores, np.float32(found.threshold)), mask) == pytest.approx(best)


def test_component_that_is_dark_in_the_label_has_the_inverse_sign() -> None:
    mask = np.zeros((4, 4, 4), bool)
    mask[1:3] = True
    bright, dark = (associate(np.where(mask, a, b), {"label": mask})["label"] for a, b in ((3.0, 1.0), (1.0, 3.0)))
    assert bright == Association(auc=1, sign=1, dice=1, threshold=3)
    assert dark == Association(auc=0, sign=-1, dice=1, threshold=1)


def test_constant_component_says_nothing() -> None:
    mask = np.zeros((2, 3, 4), bool)
    mask[0, 0] = True
    found = associate(np.zeros((2, 3, 4), np.float32), {"label": mask})["label"]
    assert found == Association(auc=0.5, sign=1, dice=pytest.approx(8 / 28), threshold=0)


@pytest.mark.parametrize("valid", [None, np.zeros((2, 2, 2), bool)])
def test_label_that_is_nowhere_or_everywhere_is_null_without_a_warning(valid: NDArray | None) -> None:
    masks = {"nowhere": np.zeros((2, 2, 2), bool), "everywhere": np.ones((2, 2, 2), bool)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = associate(np.random.default_rng(0).random((2, 2, 2)), masks, valid)
    null = {"auc": None, "sign": None, "dice": None, "threshold": None}
    text = json.dumps({name: asdict(association) for name, association in found.items()}, allow_nan=False)
    assert json.loads(text) == {"nowhere": null, "everywhere": null}


def test_only_valid_voxels_count() -> None:
    rng = np.random.default_rng(0)
    component, mask, valid = rng.random((5, 6, 7)), rng.random((5, 6, 7)) > 0.6, rng.random((5, 6, 7)) > 0.3
    found = associate(component, {"label": mask}, valid)["label"]
    area, best = counted(component[valid], mask[valid])
    assert (found.auc, found.dice) == (pytest.approx(area), pytest.approx(best))
    assert found != associate(component, {"label": mask})["label"]
