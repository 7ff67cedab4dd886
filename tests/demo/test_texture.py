"""The texture phantom: single voxels say nothing about its regions, their surroundings say it all."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from sklearn.cluster import KMeans

from nnunetv2_factorizer.demo.texture import SHAPE, make_case, write_dataset
from nnunetv2_factorizer.segment.scores import best_overlap, overlap_scores


def cases(number: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [make_case(rng) for _ in range(number)]


def dice_of_two_clusters(values: np.ndarray, region: np.ndarray) -> float:
    clusters = KMeans(2, n_init=1, random_state=0).fit_predict(values.reshape(-1, 1)).reshape(region.shape)
    return overlap_scores(region, best_overlap(region, clusters))["Dice"]


def test_regions_have_the_same_mean_and_variance() -> None:
    for image, labels in cases():
        inside, outside = (image[labels == label].astype(float) for label in (1, 0))
        assert 0.19 < labels.mean() < 0.41
        assert abs(inside.mean() - outside.mean()) < 0.3
        assert inside.std() == pytest.approx(outside.std(), rel=0.01)


def test_intensities_are_at_chance_and_context_is_not() -> None:
    rng = np.random.default_rng(0)
    found = []
    for image, labels in cases():
        region = labels == 1
        # Along an axis smoothing leaves the stripes of that axis alone, and erases the others.
        along_y, along_x = (gaussian_filter1d(image.astype(float) - image.mean(), 2, axis) for axis in (0, 1))
        context = gaussian_filter(along_y**2 - along_x**2, 4)
        found.append([dice_of_two_clusters(v, region) for v in (image.astype(float), rng.random(SHAPE), context)])
    intensities, chance, context = np.mean(found, axis=0)
    assert abs(intensities - chance) < 0.05
    assert context > 0.85


@pytest.mark.parametrize("shape", [(32, 40), (6, 24, 20)])
def test_data_set_is_reproducible_and_never_overwritten(tmp_path: Path, shape: tuple[int, ...]) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_dataset(tmp_path / name, 2, shape, seed)
    ending = json.loads((tmp_path / "a" / "dataset.json").read_text())["file_ending"]
    images = [tmp_path / name / "imagesTr" / f"texture_001_0000{ending}" for name in "abc"]
    assert images[0].read_bytes() == images[1].read_bytes() != images[2].read_bytes()
    labels = tmp_path / "a" / "labelsTr" / f"texture_001{ending}"
    if len(shape) == 2:
        assert NaturalImage2DIO().read_images([str(images[0])])[0].shape == (1, 1, *shape)
        assert set(np.unique(NaturalImage2DIO().read_seg(str(labels))[0])) == {0, 1}
    else:
        assert sitk.GetArrayFromImage(sitk.ReadImage(str(images[0]))).shape == shape
        assert set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(labels))))) == {0, 1}
    with pytest.raises(FileExistsError):
        write_dataset(tmp_path / "a", 1)
