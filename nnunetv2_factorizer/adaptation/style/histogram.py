"""Histogram matching: the intensities of a training image, in the order of the image's own."""

import torch
from skimage.exposure import match_histograms
from torch import Tensor

from nnunetv2_factorizer.adaptation.style.bank import Style
from nnunetv2_factorizer.adaptation.style.preprocessing import Preprocessing


def match_quantiles(image: Tensor, donor: Style, preprocessing: Preprocessing) -> Tensor:
    """An image with the histogram of a donor, channel by channel, inside the mask of the normalisation.

    Args:
        image: preprocessed, `(C, *S)`.
        donor: a training image; its stored quantiles stand for its voxels.
        preprocessing: of both.
    """
    matched = image.clone()
    for x, quantiles, inside in zip(matched, donor.quantiles, preprocessing.inside(image), strict=True):
        x[inside] = torch.from_numpy(match_histograms(x[inside].numpy(), quantiles)).to(x.dtype)
    return matched
