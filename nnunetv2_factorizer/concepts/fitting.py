"""From images to a dictionary: each image goes through the network once, its features go to a file."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin_min

from nnunetv2_factorizer.concepts.clustering import cluster
from nnunetv2_factorizer.concepts.dictionary import Dictionary, ModelIdentity
from nnunetv2_factorizer.concepts.features import TileFeatures, tile_features
from nnunetv2_factorizer.inference.load_image import load_image
from nnunetv2_factorizer.concepts.pictures import PICTURE, Wanted, tile_pictures
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.images import Case
from nnunetv2_factorizer.inference.model import Load

NEAREST = 9
"""Tiles that are kept of each category for the gallery, one an image."""


def fit_dictionary(
    load: Load,
    identity: ModelIdentity,
    stage: str,
    cases: Sequence[Case],
    categories: int,
    *,
    seed: int = 0,
    scratch: Path | None = None,
    scheduler: str | None = None,
    show_progress: bool = False,
) -> Dictionary:
    """Clusters the features of the tiles of all images; memory does not grow with the number of images.

    Args:
        load: the predictor, with one fold.
        identity: of the model.
        stage: name of a module of the network.
        cases: images.
        categories: k.
        seed: of the clustering.
        scratch: where the features lie until the clustering ends, default the folder for temporary files.
        scheduler: of Dask, see `map_cases`.
        show_progress: whether there are progress bars.

    Raises:
        UserError: there are fewer tiles than categories, or an image cannot be used.
    """
    run = partial(map_cases, scheduler=scheduler, show_progress=show_progress)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".features_") as folder:
        file = FeatureFile(Path(folder))
        size = np.ones(3, np.int32)
        for tiles in run(partial(_features, load, stage), cases):
            file.append(tiles)
            size = tiles.size
        if sum(file.lengths) < categories:
            raise UserError(
                f"k is {categories}, but the {len(cases)} images have only {sum(file.lengths)} tiles in {stage}.",
                "Give a smaller -k, more images, or a stage of higher resolution with --stage.",
            )
        centres = cluster(file.features, categories, seed)
        tiles_of, nearest = _nearest(file, centres)
    pictures = np.zeros((*nearest.case.shape, PICTURE, PICTURE), np.uint8)
    wanted = _wanted(cases, nearest)
    for (_, places), cut in zip(wanted, run(partial(_pictures, load), [w for w, _ in wanted]), strict=True):
        pictures[places] = cut
    names = np.array([case.name for case in cases] + [""])  # -1 is none
    return Dictionary(
        centres, tiles_of, names[nearest.case], nearest.position, nearest.distance, pictures, size, stage, len(cases),
        seed, identity,
    )  # fmt: skip


class FeatureFile:
    """Features and middles of the tiles of one image after another, in files of `folder`."""

    def __init__(self, folder: Path) -> None:
        self.lengths: list[int] = []
        self._channels = 1
        self._features = folder / "features.float32"
        self._centres = folder / "centres.int32"

    def append(self, tiles: TileFeatures) -> None:
        """Adds those of the next image."""
        self.lengths.append(len(tiles.features))
        self._channels = tiles.features.shape[1]
        for path, array in ((self._features, tiles.features), (self._centres, tiles.centres)):
            with path.open("ab") as file:
                array.tofile(file)

    @property
    def features(self) -> NDArray[np.float32]:
        """`(tiles, C)`, mapped."""
        return np.memmap(self._features, np.float32, "r").reshape(-1, self._channels)

    @property
    def centres(self) -> NDArray[np.int32]:
        """`(tiles, 3)`, mapped."""
        return np.memmap(self._centres, np.int32, "r").reshape(-1, 3)


@dataclass(frozen=True)
class _Nearest:
    """For each category the closest tiles: index of the image or -1, distance, and the middle of the tile."""

    case: NDArray[np.int64]
    distance: NDArray[np.float32]
    position: NDArray[np.int32]


def _features(load: Load, stage: str, case: Case) -> TileFeatures:
    predictor = load()
    return tile_features(predictor, load_image(predictor, case).data, stage)


def _pictures(load: Load, wanted: Wanted) -> NDArray[np.uint8]:
    return tile_pictures(load_image(load(), wanted.case).data, wanted.positions)


def _nearest(file: FeatureFile, centres: NDArray) -> tuple[NDArray[np.int64], _Nearest]:
    """The number of tiles of each category, and of each image the closest one, where that is among the closest."""
    number = len(centres)
    counts = np.zeros(number, np.int64)
    nearest = _Nearest(
        np.full((number, NEAREST), -1), np.full((number, NEAREST), np.inf, np.float32),
        np.zeros((number, NEAREST, 3), np.int32),
    )  # fmt: skip
    start = 0
    for case, length in enumerate(file.lengths):
        if length == 0:
            continue
        features = np.asarray(file.features[start : start + length])
        category, distance = pairwise_distances_argmin_min(features, centres)
        counts += np.bincount(category, minlength=number)
        for c in np.unique(category):
            tile = np.where(category == c, distance, np.inf).argmin()
            place = int(np.searchsorted(nearest.distance[c], distance[tile], side="right"))
            if place < NEAREST:
                _insert(nearest.case[c], place, case)
                _insert(nearest.distance[c], place, distance[tile])
                _insert(nearest.position[c], place, file.centres[start + tile])
        start += length
    return counts, nearest


def _insert(row: NDArray, place: int, value: NDArray | int) -> None:
    row[place + 1 :] = row[place:-1].copy()
    row[place] = value


def _wanted(cases: Sequence[Case], nearest: _Nearest) -> list[tuple[Wanted, tuple[NDArray, ...]]]:
    """Which pictures are wanted of which image, and where they go in an array `(k, NEAREST, ...)`."""
    wanted = []
    for index in np.unique(nearest.case[nearest.case >= 0]):
        places = np.nonzero(nearest.case == index)
        wanted.append((Wanted(cases[index], nearest.position[places]), places))
    return wanted
