"""Fourier style transfer: what comes from the donor and what stays, by its properties."""

import math

import numpy as np
import pytest
import torch

from nnunetv2_factorizer.adaptation.style.bank import Style
from nnunetv2_factorizer.adaptation.style.fourier import swap_amplitudes
from nnunetv2_factorizer.adaptation.style.frequencies import amplitudes_at, low_frequencies
from tests.adaptation.style.images import image, preprocessing

RADIUS = 0.15


@pytest.mark.parametrize("normalisation", ["NoNormalization", "ZScoreNormalization"])
@pytest.mark.parametrize("d", [2, 3])
def test_identity_where_the_donor_is_the_image_itself(d: int, normalisation: str) -> None:
    made, x = preprocessing(d, normalisation), image(0)
    restyled = swap_amplitudes(x, Style.of(x, made, RADIUS), made, RADIUS)
    assert (restyled - x).norm() < 1e-5 * x.norm()


@pytest.mark.parametrize("size", [(8, 20, 17), (7, 15, 16)])
@pytest.mark.parametrize("d", [2, 3])
def test_amplitudes_of_the_donor_below_the_radius_and_the_phase_of_the_image(d: int, size: tuple[int, ...]) -> None:
    made, x, donor = preprocessing(d), image(0, size), Style.of(image(1, (6, 24, 13)), preprocessing(d), RADIUS)
    restyled = swap_amplitudes(x, donor, made, RADIUS)
    dims = tuple(range(-d, 0))
    before, after = torch.fft.rfftn(x, dim=dims), torch.fft.rfftn(restyled, dim=dims)
    places, wanted = low_frequencies(size, made.spacing, RADIUS)
    low = torch.zeros(before.shape[-d:], dtype=torch.bool)
    low[places] = True
    assert 0 < low.sum() < low.numel()
    expected = amplitudes_at(donor.amplitudes, donor.step, wanted, size[0]) * math.prod(size[-d:])
    np.testing.assert_allclose(after[..., low].abs().numpy(), expected, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(after[..., ~low], before[..., ~low], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(
        after[..., low] / after[..., low].abs(), before[..., low] / before[..., low].abs(), rtol=0, atol=1e-3
    )
    assert (restyled - x).norm() > 0.1 * x.norm()


def test_z_scored_images_keep_mean_and_deviation() -> None:
    x = image(0)
    donor = Style.of(100 * image(1), preprocessing(), RADIUS)
    restyled = swap_amplitudes(x, donor, preprocessing(normalisation="ZScoreNormalization"), RADIUS)
    for statistic in (torch.mean, torch.std):
        torch.testing.assert_close(
            torch.stack([statistic(channel) for channel in restyled]), torch.stack([statistic(c) for c in x])
        )
    assert (restyled - x).norm() > 0.1 * (x - x.mean()).norm()


def test_outside_of_the_mask_nothing_changes() -> None:
    made, x = preprocessing(normalisation="ZScoreNormalization", masked=True), image(0)
    x[:, :, :5] = 0
    x[1] = 0  # a channel without any
    restyled = swap_amplitudes(x, Style.of(image(1), made, RADIUS), made, RADIUS)
    assert (restyled[0, :, :5] == 0).all()
    assert not torch.equal(restyled[0], x[0])
    torch.testing.assert_close(restyled[0, :, 5:].mean(), x[0, :, 5:].mean())
    assert restyled.isfinite().all()
