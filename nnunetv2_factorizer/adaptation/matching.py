"""Clusters of source and target patches by their features, and which cluster of the one is which of the other.

All features are brought to few principal components, in units of the standard deviation of the first; the position of
the patch is appended; then they are brought to a plane or so, where each side is clustered by k-means, the target from
the centres of the source. The Hungarian method gives the matching with the smallest sum of squared distances.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

PCA_DIMENSIONS, TSNE_DIMENSIONS = 8, 2
"""Of the space of the clusters."""

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Matching:
    """For patches with F features.

    Attributes:
        mean: `(F,)` of the features.
        components: `(n, F)`, divided by the standard deviation along the first.
        points: `(N, n + 3)`, components and positions of the target patches that were clustered.
        clusters: `(N,)`, theirs.
        anchors: `(k, F)`, for each target cluster the mean features of the source patches in the matched one.
        distance: mean over the clusters, between matched centres, `()`.
    """

    mean: Array
    components: Array
    points: Array
    clusters: NDArray[np.integer]
    anchors: Array
    distance: Array

    def clusters_of(self, features: Array, positions: Array) -> NDArray[np.integer]:
        """The clusters `(B,)` of other target patches: those of their nearest neighbours."""
        points = np.hstack([(features - self.mean) @ self.components.T, positions])
        return self.clusters[cKDTree(self.points).query(points)[1]]


def match(
    source: Array,
    target: Array,
    source_positions: Array,
    target_positions: Array,
    k: int,
    components: int,
    embedding: str = "pca",
    matching: str = "hungarian",
    seed: int = 0,
) -> Matching:
    """Clusters both sides and matches the clusters.

    Args:
        source: features `(N, F)`.
        target: likewise.
        source_positions: `(N, A)` in [0, 1].
        target_positions: likewise.
        k: clusters of each side, at most N.
        components: principal ones.
        embedding: to the space of the clusters, `pca` or `tsne`.
        matching: `hungarian`, or `random` as a control.
        seed: of all that is random.
    """
    from sklearn.cluster import KMeans  # a second, and whoever looks for a trainer imports this file
    from sklearn.decomposition import PCA

    features = np.concatenate([source, target])
    pca = PCA(min(components, *features.shape), random_state=seed).fit(features)
    scaled = pca.components_ / max(np.sqrt(pca.explained_variance_[0]), np.finfo(np.float32).tiny)
    positions = np.concatenate([source_positions, target_positions])
    points = np.hstack([(features - pca.mean_) @ scaled.T, positions])
    embedded = _embed(points, embedding, seed)
    of_source = KMeans(k, n_init=10, random_state=seed).fit(embedded[: len(source)])
    start = of_source.cluster_centers_
    of_target = KMeans(k, init=start, n_init=1, random_state=seed).fit(embedded[len(source) :])
    squared = cdist(of_target.cluster_centers_, of_source.cluster_centers_, "sqeuclidean")
    at_random = np.random.default_rng(seed).permutation(k)
    matched = at_random if matching == "random" else linear_sum_assignment(squared)[1]
    means = np.stack([source[of_source.labels_ == cluster].mean(0) for cluster in range(k)])
    return Matching(
        mean=pca.mean_,
        components=scaled,
        points=points[len(source) :],
        clusters=of_target.labels_,
        anchors=means[matched],
        distance=np.asarray(np.sqrt(squared[np.arange(k), matched]).mean()),
    )


def _embed(points: Array, embedding: str, seed: int) -> Array:
    if embedding == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(points) - 1) / 3)
        return TSNE(TSNE_DIMENSIONS, init="pca", perplexity=perplexity, random_state=seed).fit_transform(points)
    from sklearn.decomposition import PCA

    return PCA(min(PCA_DIMENSIONS, *points.shape), random_state=seed).fit_transform(points)
