"""Protocols and scores against counting by hand and scikit-learn."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score

from nnunetv2_factorizer.concepts.evaluation import count, decide, match, probe, score, summarise
from nnunetv2_factorizer.errors import UserError

LABELS = (0, 1, 2)


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(6, size=(4, 5, 6)), rng.integers(3, size=(4, 5, 6))


def test_table_of_an_image() -> None:
    prediction, truth = random_case(0)
    table = count(prediction, truth, 5, LABELS)
    for category in range(6):
        for label in LABELS:
            assert table[category, label] == ((prediction == category) & (truth == label)).sum()
    assert count(prediction, np.where(truth == 2, 9, truth), 5, (0, 1), ignore=9)[:, :2].sum() == (truth < 2).sum()


def test_what_cannot_be_counted() -> None:
    prediction, truth = random_case(0)
    with pytest.raises(UserError, match=r"the prediction is \(4, 5, 6\), the label \(3, 5, 6\)\.\nGive labels"):
        count(prediction, truth[:3], 5, LABELS)
    with pytest.raises(UserError, match=r"a voxel of label 2; known are .* labels \[0, 1\]"):
        count(prediction, truth, 5, (0, 1))
    with pytest.raises(UserError, match="a voxel of category 5"):
        count(prediction, truth, 4, LABELS)


def test_matching() -> None:
    tables = [np.array([[10, 0], [60, 20], [0, 0]]), np.array([[10, 0], [30, 5], [0, 5]])]
    assert match(tables).tolist() == [0, 0, 1]
    assert match(tables, normalised=True).tolist() == [0, 1, 1]  # 90 of 110 voxels of label 0, 25 of 30 of label 1
    assert match([np.zeros((3, 2), int)], normalised=True).tolist() == [0, 0, 0]


def test_scores_are_those_of_scikit_learn() -> None:
    cases = [random_case(seed) for seed in range(3)]
    tables = [count(*case, 5, LABELS) for case in cases]
    columns = np.array([0, 1, 2, 1, 0, 2])
    dice, f1 = score(tables, columns)
    for row, (prediction, truth) in zip(dice, cases, strict=True):
        np.testing.assert_allclose(row, f1_score(truth.ravel(), columns[prediction].ravel(), average=None))
    truth, found = (np.concatenate([a.ravel() for a in arrays]) for arrays in zip(*cases, strict=True))
    np.testing.assert_allclose(f1, f1_score(found, columns[truth], average=None))


def test_absent_labels_are_left_out_of_means_and_json() -> None:
    tables = [np.array([[8, 0, 0], [0, 0, 0]]), np.array([[8, 0, 0], [0, 4, 0]])]
    summary = summarise(["a", "b"], {"background": 0, "one": 1, "two": 2}, tables, np.array([0, 1]))
    assert summary["cases"]["a"] == {"background": 1, "one": None, "two": None}
    assert summary["mean"]["one"] == {"Dice": 1, "F1": 1}
    assert summary["mean"]["two"] == {"Dice": None, "F1": None}
    assert summary["foreground_mean"] == {"Dice": 1, "F1": 1}
    assert summary["categories"] == {0: "background", 1: "one"}
    json.dumps(summary, allow_nan=False)


def test_probe_labels_what_is_not_pure_by_its_neighbours() -> None:
    """Category 3 is mixed, mostly label 0, but its centre lies among those of label 1."""
    centres = np.array([[0.0, 1], [1, 0], [0.9, 0.1], [0.1, 0.9]])
    table = np.array([[5, 0], [95, 5], [1, 99], [50, 49], [99, 1]])
    assert match([table]).tolist() == [0, 0, 1, 0, 0]
    assert probe([table], centres, 0.8).tolist() == [0, 0, 1, 1, 0]
    assert decide("probe", [table], centres, 0.8).tolist() == [0, 0, 1, 1, 0]


def test_probe_of_one_label() -> None:
    with pytest.raises(UserError, match=r"^1 times a category .* into one label, of 1 labels in all; .*\nGive"):
        probe([np.array([[0, 0], [99, 1], [5, 6]])], np.eye(2), 0.9)
    with pytest.raises(UserError, match=r"^--threshold must be at least 0\.5 and less than 1, got 5\.\nGive"):
        probe([np.array([[0, 0], [99, 1], [1, 99]])], np.eye(2), 5)
