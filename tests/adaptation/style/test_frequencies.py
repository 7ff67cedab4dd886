"""Amplitudes on a physical grid, against plain sums."""

import cmath
import itertools
import math

import numpy as np
import torch
from torch import Tensor

from nnunetv2_factorizer.adaptation.style.frequencies import (
    amplitudes_at,
    low_amplitudes,
    low_frequencies,
    one_cycle,
)
from tests.adaptation.style.images import SPACING, image


def plain_amplitude(channel: Tensor, cycles: tuple[int, ...]) -> float:
    """|F| / N of so many cycles along each axis."""
    total = 0j
    for place in itertools.product(*(range(n) for n in channel.shape)):
        angle = sum(k * i / n for k, i, n in zip(cycles, place, channel.shape, strict=True))
        total += channel[place].item() * cmath.exp(-2j * math.pi * angle)
    return abs(total) / channel.numel()


def test_interpolation_against_a_plain_loop() -> None:
    x = image(0, (3, 4, 5))[:1]
    amplitudes, step = low_amplitudes(x, SPACING, 0.25), one_cycle(x.shape, SPACING)
    wanted = np.array([[0.05, -0.2, 0.0], [-0.1, 0.11, 0.24], [0.03, 0.2, 0.0]])
    found = amplitudes_at(amplitudes, step, wanted, slices=3)
    for p in range(wanted.shape[1]):
        nodes = [divmod(f, s) for f, s in zip(wanted[:, p], step, strict=True)]
        expected = 0.0
        for corner in itertools.product((0, 1), repeat=3):
            weight = math.prod(
                (rest / s if up else 1 - rest / s) for up, (_, rest), s in zip(corner, nodes, step, strict=True)
            )
            cycles = tuple(int(k) + up for up, (k, _) in zip(corner, nodes, strict=True))
            expected += weight * plain_amplitude(x[0], cycles)
        np.testing.assert_allclose(found[0, p], expected, rtol=1e-5)


def test_low_frequencies_against_a_plain_loop() -> None:
    size, radius = (4, 6, 5), 0.2
    expected = {}
    for place in itertools.product(range(4), range(6), range(3)):
        cycles = [k if k < n / 2 else k - n for k, n in zip(place, size, strict=True)]
        f = [k / (n * mm) for k, n, mm in zip(cycles, size, SPACING, strict=True)]
        if math.hypot(*f) < radius:
            expected[place] = f
    places, found = low_frequencies(size, SPACING, radius)
    assert 1 < len(expected) < 4 * 6 * 3
    assert [tuple(place) for place in np.stack(places, 1).tolist()] == list(expected)
    np.testing.assert_allclose(found.T, list(expected.values()))


def test_an_image_finds_its_own_amplitudes() -> None:
    x = image(0)
    places, wanted = low_frequencies(x.shape, SPACING, 0.15)
    amplitudes = low_amplitudes(x, SPACING, 0.15)
    found = amplitudes_at(amplitudes, one_cycle(x.shape, SPACING), wanted, slices=8)
    expected = torch.fft.rfftn(x, dim=(1, 2, 3)).abs().numpy()[(slice(None), *places)] / x[0].numel()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_amplitudes_are_of_frequencies_and_not_of_sizes() -> None:
    """The image four times side by side has the same amplitudes in cycles per mm."""
    x = image(1)
    tiled = x.repeat(1, 1, 2, 2)
    _, wanted = low_frequencies(x.shape, SPACING, 0.15)
    small, large = (
        amplitudes_at(low_amplitudes(y, SPACING, 0.15), one_cycle(y.shape, SPACING), wanted, slices=8)
        for y in (x, tiled)
    )
    np.testing.assert_allclose(small, large, rtol=1e-4, atol=1e-6)


def test_slices_correspond_by_their_place() -> None:
    x = image(2, (4, 20, 17))
    spacing = SPACING[1:]
    amplitudes, step = low_amplitudes(x, spacing, 0.15), one_cycle(x.shape, spacing)
    middle = np.zeros((2, 1))
    at_zero = amplitudes[:, :, (amplitudes.shape[2] - 1) // 2, 0]
    for slices, expected in (
        (4, at_zero),
        (1, at_zero[:, 1:3].mean(1, keepdims=True)),
        (2, (at_zero[:, ::2] + at_zero[:, 1::2]) / 2),
    ):
        np.testing.assert_allclose(amplitudes_at(amplitudes, step, middle, slices)[..., 0], expected, rtol=1e-6)


def test_an_axis_of_one_voxel() -> None:
    x = image(3, (1, 20, 17))
    amplitudes = low_amplitudes(x, SPACING, 0.15)
    _, wanted = low_frequencies(x.shape, SPACING, 0.15)
    found = amplitudes_at(amplitudes, one_cycle(x.shape, SPACING), wanted, slices=1)
    assert found.shape == (2, wanted.shape[1])
    assert np.isfinite(found).all()
