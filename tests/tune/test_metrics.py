"""Dice and HD95 against numbers computed by hand and by brute force."""

import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.labels import foreground
from nnunetv2_factorizer.tune.metrics import evaluate, hd95, require_monai

SPACING = (3.0, 1.0, 0.5)


def box(*corners: tuple[int, int], size: tuple[int, ...] = (12, 20, 30)) -> NDArray:
    mask = np.zeros(size, dtype=bool)
    mask[tuple(slice(*corner) for corner in corners)] = True
    return mask


def brute_force(a: NDArray, b: NDArray, spacing: tuple[float, ...]) -> float:
    surfaces = [np.argwhere(mask & ~binary_erosion(mask)) * spacing for mask in (a, b)]
    distances = cdist(*surfaces)
    return max(np.percentile(distances.min(axis), 95) for axis in (0, 1))


def test_numbers_by_hand() -> None:
    truth, prediction = box((2, 6), (2, 6), (2, 6)).astype(int), box((2, 6), (2, 6), (4, 8)).astype(int)
    metrics = evaluate(prediction, truth, SPACING, {"lesion": 1})
    assert metrics["lesion"]["dice"] == pytest.approx(0.5)
    assert metrics["lesion"]["hd95"] == pytest.approx(2 * 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_hd95_is_that_of_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (box((2, 9), (4, 15), (5, 25)) & (rng.random((12, 20, 30)) < 0.97) for _ in range(2))
    b = np.roll(b, 2, axis=0)
    assert hd95(a, b, SPACING) == pytest.approx(brute_force(a, b, SPACING), rel=1e-5)
    assert hd95(a, b, SPACING) == hd95(b, a, SPACING)


def test_hd95_of_one_slice_is_between_contours() -> None:
    a, b = box((3, 15), (3, 20), size=(20, 30)), box((5, 15), (6, 28), size=(20, 30))
    assert hd95(a[None], b[None], (999.0, 2.0, 0.5)) == pytest.approx(brute_force(a, b, (2.0, 0.5)), rel=1e-5)


def test_empty_masks() -> None:
    lesion, nothing = np.ones((4, 5, 6), dtype=int), np.zeros((4, 5, 6), dtype=int)
    labels, spacing = {"lesion": 1}, (1.0, 2.0, 3.0)
    assert evaluate(nothing, nothing, spacing, labels) == {"lesion": {"dice": 1.0, "hd95": 0.0}}
    diagonal = pytest.approx((4**2 + 10**2 + 18**2) ** 0.5)
    for prediction, truth in ((lesion, nothing), (nothing, lesion)):
        assert evaluate(prediction, truth, spacing, labels) == {"lesion": {"dice": 0.0, "hd95": diagonal}}


def test_diagonal_is_that_of_brats() -> None:
    assert hd95(box((0, 0), (0, 0), (0, 0), size=(155, 240, 240)), box((0, 1), (0, 1), (0, 1), size=(155, 240, 240)),
                (1.0, 1.0, 1.0)) == pytest.approx(373.13, abs=0.01)  # fmt: skip


def test_ignored_voxels_count_for_nothing() -> None:
    truth, prediction = box((2, 6), (2, 6), (2, 6)).astype(int), box((2, 6), (2, 6), (2, 20)).astype(int)
    truth[:, :, 6:] = 2
    assert evaluate(prediction, truth, SPACING, {"lesion": 1}, ignore_label=2)["lesion"] == {"dice": 1.0, "hd95": 0.0}
    assert evaluate(prediction, truth, SPACING, {"lesion": 1})["lesion"]["dice"] < 0.5


def test_regions_are_the_union_of_their_labels() -> None:
    labels = foreground({"labels": {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}})
    assert labels == {"whole": (1, 2), "core": (2,)}
    truth, prediction = np.zeros((3, 4, 5), dtype=int), np.zeros((3, 4, 5), dtype=int)
    truth[0], prediction[0] = 1, 2
    metrics = evaluate(prediction, truth, (1.0, 1.0, 1.0), labels)
    assert metrics["whole"] == {"dice": 1.0, "hd95": 0.0}
    assert metrics["core"]["dice"] == 0


def test_without_monai_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_monai()
    monkeypatch.setitem(sys.modules, "monai.metrics", None)
    with pytest.raises(UserError, match=r"HD95 .*\nInstall it: pip install monai 'scipy"):
        require_monai()
