"""From images to a dictionary: the same for the same seed and for any number of workers, in little memory."""

import weakref
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import LocalCluster

from nnunetv2_factorizer.concepts import fitting
from nnunetv2_factorizer.concepts.dictionary import Dictionary
from nnunetv2_factorizer.concepts.features import TileFeatures, tile_features
from nnunetv2_factorizer.concepts.fitting import fit_dictionary
from nnunetv2_factorizer.inference.load_image import load_image
from nnunetv2_factorizer.concepts.segmentation import Concepts, segment_case
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.images import Case
from tests.concepts.regions import IDENTITY, STAGE, load_trained, write_image


def cases(folder: Path, number: int = 3) -> list[Case]:
    return [write_image(folder, seed) for seed in range(number)]


def fit(images: list[Case], k: int = 6, **options: Any) -> Dictionary:
    return fit_dictionary(load_trained, IDENTITY, STAGE, images, k, **options)


def assert_equal(a: Dictionary, b: Dictionary) -> None:
    for name in ("centres", "tiles", "nearest_cases", "nearest_positions", "nearest_distances", "pictures"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_the_same_seed_the_same_dictionary(tmp_path: Path) -> None:
    images = cases(tmp_path)
    assert_equal(fit(images), fit(images, scratch=tmp_path))
    assert not np.array_equal(fit(images).centres, fit(images, seed=1).centres)
    assert not list(tmp_path.glob(".*"))


def test_nearest_tiles_are_the_nearest(tmp_path: Path) -> None:
    images = cases(tmp_path)
    dictionary = fit(images)
    predictor = load_trained()
    tiles = {case.name: tile_features(predictor, load_image(predictor, case).data, STAGE) for case in images}
    everything = np.concatenate([t.features for t in tiles.values()])
    distances = np.linalg.norm(everything[:, None] - dictionary.centres, axis=2)
    np.testing.assert_array_equal(dictionary.tiles, np.bincount(distances.argmin(1), minlength=6))
    for category in np.flatnonzero(dictionary.tiles):
        closest = distances[distances.argmin(1) == category, category].min()
        assert dictionary.nearest_distances[category, 0] == pytest.approx(closest, rel=1e-4)
        assert (np.diff(dictionary.nearest_distances[category][:3]) >= 0).all()
        found = tiles[str(dictionary.nearest_cases[category, 0])]
        (row,) = np.flatnonzero((found.centres == dictionary.nearest_positions[category, 0]).all(1))
        assert np.linalg.norm(found.features[row] - dictionary.centres[category]) == pytest.approx(closest, rel=1e-4)
    assert dictionary.pictures[dictionary.nearest_cases != ""].any((1, 2)).all()


def test_one_image_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[int] = []
    features: list[weakref.ref[Any]] = []

    def watched(*args: Any) -> TileFeatures:
        tiles = tile_features(*args)
        features.append(weakref.ref(tiles.features))
        alive.append(sum(reference() is not None for reference in features))
        return tiles

    monkeypatch.setattr(fitting, "tile_features", watched)
    fit(cases(tmp_path, 6))
    assert len(alive) == 6
    assert max(alive) <= 2  # the last image's are let go when the next one's are there


def test_workers_change_nothing(tmp_path: Path) -> None:
    """Two processes, which share nothing but the files."""
    images = cases(tmp_path)
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        scheduler = cluster.scheduler_address
        dictionary = fit(images, scheduler=scheduler)
        concepts = Concepts(STAGE, dictionary.centres)
        work = partial(segment_case, load=load_trained, concepts=concepts)
        (tmp_path / "one").mkdir()
        (tmp_path / "many").mkdir()
        one = list(map(partial(work, output=tmp_path / "one"), images))
        many = list(fitting.map_cases(partial(work, output=tmp_path / "many"), images, scheduler=scheduler))
    assert_equal(fit(images), dictionary)
    assert one == many
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes()


def test_more_categories_than_tiles(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^k is 500, but the 1 images have only 216 tiles in .*\.1\.\nGive"):
        fit(cases(tmp_path, 1), 500)
