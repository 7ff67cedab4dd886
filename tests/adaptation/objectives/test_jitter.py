"""What a jitter keeps: places, the order of a tone curve, mean and standard deviation; and what stains are."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.color import hed2rgb, rgb2hed
from torch import Tensor

from nnunetv2_factorizer.adaptation import jitter
from nnunetv2_factorizer.adaptation.jitter import (
    contrast_jitter,
    jitter_for,
    normalised_stain_jitter,
    restain,
    stain_jitter,
    tone_curve,
)


def images(*size: int, channels: int = 3) -> Tensor:
    return torch.randn(4, channels, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(20, 24), (8, 10, 12)])
@pytest.mark.parametrize("change", [contrast_jitter, normalised_stain_jitter])
def test_normalised_images_stay_normalised(change: Callable[[Tensor], Tensor], size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    before = images(*size)
    after = change(before)
    axes = tuple(range(2, before.ndim))
    assert not torch.allclose(after, before, atol=0.05)
    # Noise adds at most 0.5 % to the standard deviation.
    torch.testing.assert_close(after.mean(axes), before.mean(axes), rtol=0, atol=0.02)
    torch.testing.assert_close(after.std(axes), before.std(axes), rtol=0.02, atol=0)
    correlation = np.corrcoef(before.flatten(1).numpy(), after.flatten(1).numpy())[:4, 4:]
    assert np.diag(correlation).min() > 0.7 > np.abs(correlation - np.diag(np.diag(correlation))).max()


@pytest.mark.parametrize("change", [contrast_jitter, normalised_stain_jitter, stain_jitter])
def test_flat_images_and_zeros_stay_finite(change: Callable[[Tensor], Tensor]) -> None:
    assert change(torch.zeros(2, 3, 6, 6)).isfinite().all()


def test_a_tone_curve_rises_and_differs() -> None:
    torch.manual_seed(0)
    values = torch.linspace(0, 1, 100).expand(2, 3, 100)
    curves = tone_curve(values)
    assert (curves.diff(dim=2) > 0).all()
    torch.testing.assert_close(curves[..., 0], torch.zeros(2, 3))
    torch.testing.assert_close(curves[..., -1], torch.ones(2, 3))
    assert len(curves.flatten(0, 1).unique(dim=0)) == 6


def test_the_contrast_jitter_without_field_and_noise_keeps_the_order_of_voxels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jitter, "BIAS", 0.0)
    monkeypatch.setattr(jitter, "NOISE", (0.0, 0.0))
    before = images(10, 10, channels=1).flatten(1).double()
    after = contrast_jitter(images(10, 10, channels=1)).flatten(1)
    assert torch.equal(before.argsort(1), after.argsort(1))


def test_stains_are_those_of_scikit_image() -> None:
    """Whose stains are in units of -ln 1e-6, and not below zero."""
    unit = -np.log(1e-6)
    rng = np.random.default_rng(0)
    colours = hed2rgb(rng.uniform(0.005, 0.05, (6, 7, 3)))
    scale, shift = np.array([1.05, 0.95, 1.0]), np.array([0.05, 0.0, -0.02])
    expected = hed2rgb(rgb2hed(colours) * scale + shift / unit)
    given = torch.from_numpy(colours).permute(2, 0, 1)[None]
    found = restain(given, *(torch.from_numpy(x)[None, :, None, None] for x in (scale, shift)))
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), expected, atol=1e-6)
    one, nothing = torch.ones(1, 3, 1, 1).double(), torch.zeros(1, 3, 1, 1).double()
    torch.testing.assert_close(restain(given, one, nothing), given)


def test_which_jitter() -> None:
    z = ["ZScoreNormalization"] * 3
    assert jitter_for(["R", "G", "B"], z) is normalised_stain_jitter
    assert jitter_for(["rgb_to_0_1"] * 3, ["RGBTo01Normalization"] * 3) is stain_jitter
    assert jitter_for(["R", "G", "B"], ["RGBTo01Normalization"] * 3) is stain_jitter
    assert jitter_for(["T1", "T2", "FLAIR"], z) is contrast_jitter
    assert jitter_for(["CT"], ["CTNormalization"]) is contrast_jitter
