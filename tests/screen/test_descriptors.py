"""What is said of an image whose physics was changed on purpose."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from nnunetv2_factorizer.screen.descriptors import Typical, describe, words
from tests.concepts.regions import make_predictor
from tests.screen.cases import as_tensor, make_image, noisy, normalised


def said(change: Callable[[NDArray], NDArray], dimensions: int = 3) -> list[str]:
    """Of the second channel, which is changed; the training images are others of the same kind."""
    predictor = make_predictor("PlainConvUNet", dimensions)
    training = [describe(predictor, as_tensor(make_image(seed))) for seed in range(20)]
    image = make_image(100)
    image[1:] = normalised(change(image[1:]))
    found = describe(predictor, as_tensor(image))
    deviations = {}
    for name, value in found.items():
        values = [descriptors[name] for descriptors in training]
        deviations[name] = Typical(float(np.mean(values)), float(np.std(values, ddof=1))).deviation(value)
    return words(deviations)


def test_an_image_of_the_same_kind() -> None:
    assert said(lambda x: x) == []


@pytest.mark.parametrize("dimensions", [2, 3])
def test_noise(dimensions: int) -> None:
    first, *rest = said(noisy, dimensions)
    assert first == "channel1: more noise"
    assert not any("resolution" in word for word in rest)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_blur(dimensions: int) -> None:
    found = said(lambda x: gaussian_filter(x, (0, 1.5, 1.5, 1.5)), dimensions)
    assert found[0].startswith("channel1: lower resolution along ")
    assert not any("noise" in word for word in found)
    assert ("z" in found[0].rpartition("along ")[2]) is (dimensions == 3)


def test_blur_along_one_axis() -> None:
    assert said(lambda x: gaussian_filter1d(x, 2, axis=1))[0] == "channel1: lower resolution along z"


@pytest.mark.parametrize("curve", [np.exp, lambda x: -np.exp(-x), np.tanh, lambda x: x**3])
def test_a_tone_curve(curve: Callable[[NDArray], NDArray]) -> None:
    found = said(curve)
    assert "intensity" in found[0] or "contrast" in found[0]


def test_noise_is_its_standard_deviation_and_edges_are_in_mm() -> None:
    predictor = make_predictor("PlainConvUNet", 3)
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(2, 32, 32, 32)), (0, 6, 6, 6)) * 100
    noise = np.random.default_rng(1).normal(0, 0.3, smooth.shape)
    found = describe(predictor, as_tensor(smooth + noise))
    assert np.exp(found["channel0: noise"]) == pytest.approx(0.3, rel=0.05)
    before = describe(predictor, as_tensor(smooth))["channel0: edge width y"]
    predictor.configuration_manager.configuration["spacing"] = [1.0, 2.5, 1.0]
    after = describe(predictor, as_tensor(smooth))["channel0: edge width y"]
    assert after - before == pytest.approx(np.log(2.5))


def test_axes_are_those_of_the_image() -> None:
    predictor = make_predictor("PlainConvUNet", 3)
    predictor.plans_manager.plans["transpose_forward"] = [2, 0, 1]
    image = make_image(0)
    plain, blurred = (
        describe(predictor, as_tensor(x)) for x in (image, normalised(gaussian_filter1d(image, 2, axis=1)))
    )
    wider = {name: blurred[name] - plain[name] for name in plain if name.startswith("channel0: edge")}
    assert max(wider, key=lambda name: wider[name]) == "channel0: edge width x"


@pytest.mark.parametrize("size", [(1, 24, 24), (2, 3, 24)])
def test_thin_images_and_constant_channels(size: tuple[int, ...]) -> None:
    image = make_image(0, size)
    image[1] = 0
    found = describe(make_predictor("PlainConvUNet", 3), as_tensor(image))
    assert all(np.isfinite(value) for value in found.values())


def test_the_cause_alone() -> None:
    assert words({"noise": 5.0, "edge width x": -6.0}) == ["more noise"]
    assert words({"noise": -8.0, "edge width x": 4.0, "edge width y": 3.5}) == ["lower resolution along x and y"]
    assert words({"noise": -4.0, "edge width x": -5.0}) == ["higher resolution along x", "less noise"]
    assert words({"noise": 4.0, "edge width x": 5.0}) == ["lower resolution along x", "more noise"]
    assert words({"T1: noise": 5.0, "T2: edge width x": -6.0}) == ["T2: higher resolution along x", "T1: more noise"]
    both = {"intensity dark": -4.0, "intensity bright": -3.5, "contrast": 2.9}
    assert words(both) == ["lower intensity of dark and bright voxels"]


def test_what_never_varied_does_not_deviate_by_rounding() -> None:
    typical = Typical(1.0, 0.0)
    assert abs(typical.deviation(1 + 1e-6)) < 0.01
    assert typical.deviation(2.0) > 100
