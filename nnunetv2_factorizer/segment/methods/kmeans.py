"""k-means on the intensities of all channels (scikit-learn): the control that decides whether a method is worth it.

The centres are those with the smallest sum of squares of ten starts by k-means++. They come from all pixels, or from
as many as `SAMPLE`, drawn at random; then each pixel goes to its nearest centre. Where things are is not looked at.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from nnunetv2_factorizer.segment.method import Segments

SAMPLE = 200_000
STARTS = 10


def segment(image: NDArray, k: int, seed: int, device: torch.device) -> Segments:
    """`k` segments of `(C, *S)`; fewer where there are fewer different pixels."""
    labels = cluster(image.reshape(len(image), -1).T, k, seed)
    return Segments(labels.reshape(image.shape[1:]))


def cluster(rows: NDArray, k: int, seed: int) -> NDArray:
    """The cluster `(n,)` of each row of `(n, C)`."""
    chosen = np.random.default_rng(seed).permutation(len(rows))[:SAMPLE]
    sample = rows[np.sort(chosen)]
    different = len(np.unique(sample, axis=0))
    kmeans = KMeans(min(k, different), n_init=STARTS, random_state=seed).fit(sample)
    return kmeans.predict(rows)
