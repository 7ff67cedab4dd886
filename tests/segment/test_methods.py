"""Each method finds two halves, and the classical ones do what their formulas say."""

import numpy as np
import pytest
import torch

from nnunetv2_factorizer.segment.methods import METHODS, kmeans, otsu, slic
from tests.segment.examples import agreement, halves

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", METHODS)
def test_two_halves(name: str) -> None:
    """Training ends before all of a hundred labels have died out that an edge keeps apart; by chance it is 0."""
    found = METHODS[name].segment(halves(3), 2, 0, CPU)
    assert found.labels.shape == (24, 24)
    assert agreement(found.labels) > (0.25 if METHODS[name].trained else 0.8)
    assert len(np.unique(found.labels)) < 40
    assert (found.iterations > 0) is METHODS[name].trained


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.axes == 3])
def test_volumes(name: str) -> None:
    volume = np.stack([halves()] * 8, 1)
    labels = METHODS[name].segment(volume, 2, 0, CPU).labels
    assert labels.shape == (8, 24, 24)
    assert min(agreement(part) for part in labels) > 0.8


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.axes == 3])
def test_fewer_values_than_k(name: str) -> None:
    assert len(np.unique(METHODS[name].segment(np.sign(halves()), 5, 0, CPU).labels)) == 2


def test_kmeans_assigns_to_the_nearest_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).normal(size=(2, 12, 12)).astype(np.float32)
    labels = kmeans.segment(image, 3, 0, CPU).labels
    means = np.stack([image[:, labels == label].mean(1) for label in range(3)])
    distances = ((image[:, None] - means.T[..., None, None]) ** 2).sum(0)
    np.testing.assert_array_equal(distances.argmin(0), labels)
    monkeypatch.setattr(kmeans, "SAMPLE", 100)
    assert agreement(kmeans.segment(halves(), 2, 0, CPU).labels) == 1


def test_otsu_separates_with_the_largest_variance_between_classes() -> None:
    image = np.random.default_rng(0).gamma(2, size=(1, 20, 20)).astype(np.float32)
    high = otsu.segment(image, 2, 0, CPU).labels == 1
    values = image[0]

    def between(chosen: np.ndarray) -> float:
        share = chosen.mean()
        return float(share * (1 - share) * (values[chosen].mean() - values[~chosen].mean()) ** 2)

    best = max(between(values > threshold) for threshold in np.sort(values.ravel())[:-1])
    assert between(high) == pytest.approx(best, rel=0.01)  # of 256 bins


def test_slic_does_not_see_single_pixels() -> None:
    image = halves()
    image[0, 5, 5], image[0, 15, 20] = 1, -1
    assert agreement(slic.segment(image, 2, 0, CPU).labels) > 0.95
    assert agreement(kmeans.segment(image, 2, 0, CPU).labels) < 1
