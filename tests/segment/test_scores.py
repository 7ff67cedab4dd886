"""Scores against counting by hand, and what they say of maps that nobody would want."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score, mutual_info_score

from nnunetv2_factorizer.segment.scores import (
    best_overlap,
    leaked,
    matched_dice,
    overlap_scores,
    partition_scores,
)


def random_maps(segments: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(3, size=(2, 12, 10)), rng.integers(segments, size=(2, 12, 10))


def test_the_segment_with_most_voxels_in_the_truth_is_meant() -> None:
    truth = np.array([0, 1, 1, 1, 1, 1, 0], bool)
    segments = np.array([7, 7, 7, 0, 0, 0, 0])
    assert best_overlap(truth, segments).tolist() == (segments == 0).tolist()  # 0 is a number as any other
    assert best_overlap(truth, segments + 5).tolist() == (segments == 0).tolist()


def test_dice_hm_and_xor_are_those_of_the_formulas() -> None:
    truth, chosen = (found > 1 for found in random_maps())
    scores = overlap_scores(truth, chosen)
    iou = jaccard_score(truth.ravel(), chosen.ravel())
    assert scores["Dice"] == pytest.approx(f1_score(truth.ravel(), chosen.ravel()))
    assert scores["HM"] == pytest.approx(1 - iou)
    assert scores["XOR"] == pytest.approx((truth ^ chosen).sum() / truth.sum())
    assert overlap_scores(truth, truth) == {"Dice": 1, "HM": 0, "XOR": 0}


def test_dilation_of_the_released_code_is_a_square_of_13_pixels_in_each_slice() -> None:
    truth = np.zeros((3, 40, 40), bool)
    truth[1, 20, 3] = True
    expected = np.zeros_like(truth)
    expected[1, 14:27, :10] = True
    np.testing.assert_array_equal(leaked(truth), expected)


def test_each_label_gets_a_segment_of_its_own() -> None:
    truth = np.array([0] * 6 + [1] * 3 + [2] * 3)
    #                 label 1 would do best with segment 5, but label 2 has nothing else
    segments = np.array([3] * 6 + [5, 5, 4] + [5, 5, 5])
    assert matched_dice(truth, segments, [0, 1, 2]) == pytest.approx({0: 1, 1: 2 / 4, 2: 6 / 8})
    assert matched_dice(truth, np.ones(12, int), [0, 1, 2]) == pytest.approx({0: 12 / 18, 1: 0, 2: 0})
    assert matched_dice(truth, segments, [0, 1, 2, 9]).keys() == {0, 1, 2}  # 9 is not in this truth
    permuted = np.array([9, 0, 4, 7, 1, 2])[truth]
    assert matched_dice(truth, permuted, [0, 1, 2]) == {0: 1, 1: 1, 2: 1}


def test_partition_scores() -> None:
    truth, segments = (found.ravel() for found in random_maps())
    scores = partition_scores(truth, segments)
    entropies = [mutual_info_score(found, found) for found in (truth, segments)]
    expected = (sum(entropies) - 2 * mutual_info_score(truth, segments)) / np.log(2)
    assert scores["VI"] == pytest.approx(expected)
    assert abs(scores["ARI"]) < 0.05  # chance
    assert partition_scores(truth, 5 - truth) == pytest.approx({"ARI": 1, "VI": 0}, abs=1e-9)
    assert partition_scores(truth, np.ones_like(truth)) == pytest.approx({"ARI": 0, "VI": entropies[0] / np.log(2)})
