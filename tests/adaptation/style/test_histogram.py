"""Histogram matching by stored quantiles."""

import numpy as np
import torch

from nnunetv2_factorizer.adaptation.style.bank import Style
from nnunetv2_factorizer.adaptation.style.histogram import match_quantiles
from tests.adaptation.style.images import image, preprocessing


def test_quantiles_become_those_of_the_donor_and_the_order_stays() -> None:
    x, other = image(0), image(1, (9, 22, 25))
    matched = match_quantiles(x, Style.of(other, preprocessing(), 0.15), preprocessing())
    levels = (0.05, 0.5, 0.95)
    for channel, source, donor in zip(matched, x, other, strict=True):
        np.testing.assert_allclose(np.quantile(channel, levels), np.quantile(donor, levels), atol=0.05)
        assert not np.allclose(np.quantile(source, levels), np.quantile(donor, levels), atol=0.2)
        order = source.flatten().argsort()
        assert (channel.flatten()[order].diff() >= 0).all()


def test_inside_of_the_mask_alone() -> None:
    made, x, other = preprocessing(masked=True), image(0), image(1)
    x[:, :, :5] = 0
    other[:, :2] = 0
    matched = match_quantiles(x, Style.of(other, made, 0.15), made)
    assert (matched[:, :, :5] == 0).all()
    np.testing.assert_allclose(matched[0, :, 5:].median(), other[0, 2:].median(), atol=0.05)


def test_a_constant_image() -> None:
    x = torch.full((2, 4, 5, 6), 3.0)
    assert match_quantiles(x, Style.of(image(1), preprocessing(), 0.15), preprocessing()).isfinite().all()
