"""Multi-Otsu thresholds (Liao, Chen, Chung, J. Inf. Sci. Eng. 2001; scikit-image) of the mean of all channels.

The k - 1 thresholds of the histogram whose k classes differ most: the variance between the classes is largest. Colours
are not looked at, only their mean; nor is where things are.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu

from nnunetv2_factorizer.segment.method import Segments

MOST = 5
"""All sets of thresholds are tried, whose number grows with the power k - 1 of the bins."""

BINS = 256


def segment(image: NDArray, k: int, seed: int, device: torch.device) -> Segments:
    """`k` segments of `(C, *S)`; fewer where the histogram has fewer filled bins."""
    mean = image.mean(0)
    filled = np.count_nonzero(np.histogram(mean, BINS)[0])
    if filled < 2:
        return Segments(np.zeros(mean.shape, int))
    thresholds = threshold_multiotsu(mean, min(k, filled), nbins=BINS)
    return Segments(np.digitize(mean, thresholds))
