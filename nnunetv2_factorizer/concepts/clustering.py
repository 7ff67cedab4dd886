"""Centres of features that lie in a file: k-means of `(n, C)` numbers of which a batch is in memory."""

from math import ceil

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus

BATCH = 1024
SAMPLE = 8192
"""Features that k-means++ chooses the first centres from."""

EPOCHS = 10
FEWEST_STEPS = 100


def cluster(features: NDArray[np.float32], categories: int, seed: int) -> NDArray[np.float32]:
    """The centres `(k, C)` by mini-batch k-means on batches drawn with replacement; the same seed, the same centres.

    Features are clustered as they are, not scaled to one length, since the fixed mode needs centres in their scale.

    Args:
        features: `(n, C)`, may be a mapped file.
        categories: k, at most n.
        seed: of all that is drawn.
    """
    rng = np.random.default_rng(seed)
    number = len(features)
    sample = features[np.sort(rng.choice(number, min(number, max(SAMPLE, categories)), replace=False))]
    first, _ = kmeans_plusplus(sample, categories, random_state=seed)
    # Its default replaces centres of few features by features drawn at random, which would drop what is rare.
    kmeans = MiniBatchKMeans(categories, init=first, n_init=1, reassignment_ratio=0, random_state=seed)
    batch = max(BATCH, categories)
    for _ in range(max(FEWEST_STEPS, ceil(EPOCHS * number / batch))):
        kmeans.partial_fit(features[np.sort(rng.integers(number, size=batch))])
    return kmeans.cluster_centers_.astype(np.float32)
