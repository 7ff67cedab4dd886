"""Centres of features in a file."""

from pathlib import Path

import numpy as np
import pytest

from nnunetv2_factorizer.concepts import clustering
from nnunetv2_factorizer.concepts.clustering import cluster


def clouds(number: int) -> np.ndarray:
    """Features around (10, 0, 0), (0, 10, 0) and (0, 0, 10), not negative."""
    rng = np.random.default_rng(0)
    return (10 * np.eye(3)[rng.integers(3, size=number)] + rng.random((number, 3))).astype(np.float32)


def test_centres_of_clouds() -> None:
    centres = cluster(clouds(3000), 3, seed=0)
    assert centres.dtype == np.float32
    np.testing.assert_allclose(centres[centres.argmax(0)], 10 * np.eye(3) + 0.5, atol=0.1)


def test_a_rare_concept_keeps_its_centre() -> None:
    features = np.concatenate([clouds(6000), np.full((12, 3), 20, np.float32)])
    centres = cluster(features, 4, seed=0)
    assert np.linalg.norm(centres - 20, axis=1).min() < 0.1


def test_the_seed_decides() -> None:
    features = np.random.default_rng(0).random((500, 4), np.float32)
    np.testing.assert_array_equal(cluster(features, 8, seed=3), cluster(features, 8, seed=3))
    assert not np.array_equal(cluster(features, 8, seed=3), cluster(features, 8, seed=4))


def test_as_many_categories_as_features() -> None:
    assert len(cluster(clouds(7), 7, seed=0)) == 7


def test_only_batches_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "SAMPLE", 100)
    monkeypatch.setattr(clustering, "BATCH", 50)
    read: list[int] = []

    class File(np.memmap):
        def __getitem__(self, index: object) -> object:
            rows = super().__getitem__(index)
            read.append(len(rows))
            return np.asarray(rows)

    clouds(2000).tofile(tmp_path / "features")
    cluster(File(tmp_path / "features", np.float32, "r", shape=(2000, 3)), 3, seed=0)
    assert max(read) == 100
    assert len(read) > 100
