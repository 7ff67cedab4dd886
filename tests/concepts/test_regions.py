"""The whole method on images whose regions are known: it finds them, and a negative control finds nothing."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from nnunetv2_factorizer.concepts.fitting import fit_dictionary
from nnunetv2_factorizer.concepts.segmentation import Concepts, segment_case
from nnunetv2_factorizer.inference.images import Case
from tests.concepts.regions import IDENTITY, NETWORKS, REGIONS, STAGE, make_image, trained_predictor, write_image
from tests.inference.small_predictor import write_channels
from tests.training.small_trainer import ENDING


def segmented(predictor: nnUNetPredictor, folder: Path, mode: str, case: Case) -> NDArray:
    """Categories of an image, by a dictionary of three others."""
    dictionary = fit_dictionary(
        lambda: predictor, IDENTITY, STAGE, [write_image(folder, seed) for seed in range(3)], REGIONS
    )
    concepts = Concepts(STAGE, dictionary.centres, mode, components=REGIONS)
    segment_case(case, load=lambda: predictor, concepts=concepts, output=folder)
    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{case.name}{ENDING}"))).ravel()


@pytest.mark.parametrize("network_name", NETWORKS)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_regions_are_found(tmp_path: Path, network_name: str, dimensions: int) -> None:
    predictor = trained_predictor(network_name, dimensions)
    found = {}
    for mode in ("fixed", "assign"):
        (tmp_path / mode).mkdir()
        found[mode] = segmented(predictor, tmp_path / mode, mode, write_image(tmp_path, 100))
    regions = make_image(100)[1].ravel()
    rand_index = {mode: adjusted_rand_score(regions, categories) for mode, categories in found.items()}
    assert rand_index["fixed"] > 0.8
    assert rand_index["fixed"] >= rand_index["assign"]
    shuffled = np.random.default_rng(0).permutation(regions)
    assert abs(adjusted_rand_score(shuffled, found["fixed"])) < 0.01


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    """The same voxels in no order: categories that came from the place in a window would still go with the regions."""
    predictor = trained_predictor("Factorizer", 3)
    image, regions = make_image(100)
    order = np.random.default_rng(0).permutation(regions.size)
    channels = image.reshape(2, -1)[:, order].reshape(image.shape)
    case = Case("shuffled", tuple(write_channels(tmp_path, *channels, name="shuffled", ending=ENDING)))
    categories = segmented(predictor, tmp_path, "fixed", case)
    assert len(np.unique(categories)) > 1
    assert abs(adjusted_rand_score(regions.ravel(), categories)) < 0.1
