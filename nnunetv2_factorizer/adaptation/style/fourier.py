"""Fourier style transfer: the amplitudes of low frequencies come from a training image, the phase stays.

I. Zakazov, V. Shaposhnikov, I. Bespalov, D. V. Dylov, *Feather-light Fourier domain adaptation in magnetic resonance
imaging*, DART 2022. The owner of the paper claims rights to the method.

    t_new = F^-1([M A(s) + (1 - M) A(t), phase(t)])

t is the image, s the donor, A the amplitude, M a ball around frequency 0. Ours: M in 3D, and its radius in cycles per
mm; amplitudes per voxel, so that images may differ in size; the real part in place of the modulus, since z-scored
images have both signs; these keep their mean and standard deviation, since frequency 0 of a z-scored image says
nothing.
"""

import math

import torch
from torch import Tensor

from nnunetv2_factorizer.adaptation.style.bank import Style
from nnunetv2_factorizer.adaptation.style.frequencies import amplitudes_at, low_frequencies
from nnunetv2_factorizer.adaptation.style.preprocessing import Preprocessing


def swap_amplitudes(image: Tensor, donor: Style, preprocessing: Preprocessing, radius: float) -> Tensor:
    """An image with the amplitudes of a donor below the radius.

    Args:
        image: preprocessed, `(C, *S)`.
        donor: a training image.
        preprocessing: of both.
        radius: cycles per mm, at most that up to which the donor has amplitudes.

    Returns:
        `(C, *S)`; the same outside of the mask of the normalisation, and the same mean and deviation if it was z-score.
    """
    d = len(preprocessing.spacing)
    dims, size = tuple(range(-d, 0)), image.shape[-d:]
    places, wanted = low_frequencies(size, preprocessing.spacing, radius)
    a_s = amplitudes_at(donor.amplitudes, donor.step, wanted, image.shape[1]) * math.prod(size)
    m = (..., *map(torch.from_numpy, places))
    spectrum = torch.fft.rfftn(image, dim=dims)
    phase = spectrum[m].angle()
    spectrum[m] = torch.polar(torch.from_numpy(a_s).to(phase.dtype), phase)
    restyled = torch.fft.irfftn(spectrum, s=size, dim=dims)
    for channel, inside in enumerate(preprocessing.inside(image)):
        if preprocessing.z_scored(channel):
            restyled[channel] = _with_moments_of(image[channel], restyled[channel], inside)
        restyled[channel][~inside] = image[channel][~inside]
    return restyled


def _with_moments_of(image: Tensor, restyled: Tensor, inside: Tensor) -> Tensor:
    """Restyled with the mean and the standard deviation of the image inside the mask."""
    wanted, found = image[inside], restyled[inside]
    deviation = found.std(correction=0)
    if deviation == 0:  # one voxel, or an image without contrast
        return image
    return (restyled - found.mean()) / deviation * wanted.std(correction=0) + wanted.mean()
