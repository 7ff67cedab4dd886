"""Volumes in slices, the order of labels, and images that cannot be segmented."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.segment.images import Image
from nnunetv2_factorizer.segment.method import Method, Segments
from nnunetv2_factorizer.segment.methods import METHODS
from nnunetv2_factorizer.segment.pieces import segment_image
from tests.segment.examples import agreement, halves

RNG = np.random.default_rng(0)


def image(data: NDArray, spacing: tuple[float, ...] = (1, 1, 1)) -> Image:
    return Image(data.astype(np.float32), False, {"spacing": spacing})


def thresholded(piece: NDArray, k: int, seed: int, device: torch.device) -> Segments:
    """Bright pixels are 0, dark ones 7."""
    return Segments(np.where(piece.mean(0) > 0, 0, 7), 4, "labels")


FLAT = Method(thresholded, axes=2, smallest=4)


def test_slices_across_the_coarsest_axis_have_labels_of_their_own() -> None:
    volume = RNG.normal(size=(2, 5, 6, 7))
    volume[:, :, :, 2] = 1.5
    labels, result = segment_image(image(volume, (1, 1, 3)), FLAT, 2)
    expected = 1 + (volume.mean(0) > 0)
    expected[:, :, 2] = 0  # one value: nothing to segment
    np.testing.assert_array_equal(labels, expected)
    assert result == {"slices": 6, "labels": 2, "collapsed": 0, "iterations": 24, "stopped": {"labels": 6}}


def test_a_slice_with_one_label_has_collapsed() -> None:
    volume = RNG.normal(size=(1, 3, 6, 6))
    volume[0, 1] = 1 + RNG.random((6, 6))
    labels, result = segment_image(image(volume, (3, 1, 1)), FLAT, 2)
    assert result["collapsed"] == 1
    assert (labels[1] == 1).all()


def test_volumes_as_a_whole_from_dark_to_bright() -> None:
    volume = np.stack([halves()[0], halves()[0] + 4])[None]
    labels, result = segment_image(image(volume, (9, 1, 1)), METHODS["kmeans"], 4)
    assert result["slices"] == 1
    means = [volume[0][labels == label].mean() for label in range(1, 5)]
    assert means == sorted(means)
    assert labels[0].max() < labels[1].min()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("method", [METHODS["kmeans"], METHODS["slic"], METHODS["otsu"], FLAT])
def test_an_axis_of_one_pixel(method: Method, axis: int) -> None:
    labels, result = segment_image(image(np.expand_dims(halves(), 1 + axis), (3, 2, 1)), method, 2)
    assert result["slices"] == 1
    assert agreement(labels) > 0.8


@pytest.mark.parametrize(
    ("shape", "method", "k", "message"),
    [
        ((1, 3, 24), METHODS["msformer"], 2, r"it is 3 x 24 pixels .* needs 4 on each axis\.\nTake --method kmeans"),
        ((1, 1, 24), METHODS["dfc"], 2, r"it is 1 x 24 pixels"),
        ((1, 3, 4), METHODS["kmeans"], 13, r"k is 13, but there are only 12 pixels \(3 x 4\)\.\nGive a smaller -k"),
        ((9, 4, 4), METHODS["dfc"], 17, r"k is 17, but there are only 16 pixels"),
    ],
)
def test_refused(shape: tuple[int, ...], method: Method, k: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        segment_image(image(RNG.normal(size=(1, *shape)), (3, 1, 1)), method, k)


def test_slices_of_one_value() -> None:
    volume = np.arange(5.0)[None, :, None, None].repeat(6, 2).repeat(6, 3)
    with pytest.raises(UserError, match=r"each of its slices has one value\.\nTake --method kmeans"):
        segment_image(image(volume, (3, 1, 1)), FLAT, 2)
    assert segment_image(image(volume, (3, 1, 1)), METHODS["kmeans"], 5)[1]["labels"] == 5


@pytest.mark.parametrize("name", ["kmeans", "otsu"])
def test_a_row_of_pixels(name: str) -> None:
    row = np.repeat([[0.0, 1.0]], 12, 1).reshape(1, 1, 1, 24)
    assert len(np.unique(segment_image(image(row), METHODS[name], 2)[0])) == 2
