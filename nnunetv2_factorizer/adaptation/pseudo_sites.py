"""Groups of images that look alike, where nobody has recorded the site (ours): k-means on intensity and noise.

Each channel is brought to mean 0 and standard deviation 1, as nnU-Net does; then it is described as in the screen.
Groups need not be sites: anatomy or sequence may divide the images as well.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.screen.descriptors import describe_channel


def describe_raw(image: NDArray[np.float32], case: str) -> NDArray[np.float64]:
    """Quantiles, contrast and noise of each channel, one after the other.

    Args:
        image: `(C, z, y, x)` as nnU-Net reads it.
        case: its name, for messages.

    Raises:
        UserError: a channel is constant, or has NaN or infinite voxels.
    """
    if not np.isfinite(image).all():
        raise UserError(f"{case} has NaN or infinite voxels.", "Repair the image, or leave it out.")
    found: list[float] = []
    for number, channel in enumerate(image):
        if channel.min() == channel.max():
            raise UserError(
                f"channel {number} of {case} is constant, {channel.flat[0]:g} everywhere.",
                "Look at the image, and leave it out.",
            )
        normalised = (channel - channel.mean()) / channel.std()
        described = describe_channel(normalised, {"z": 1.0, "y": 1.0, "x": 1.0})
        found += [value for what, value in described.items() if not what.startswith("edge")]
    return np.array(found)


def group(descriptors: Sequence[NDArray[np.float64]], k: int) -> tuple[list[int], float]:
    """The group of each image, 1 to k, the largest first, and how far the groups are apart.

    The latter is the mean silhouette: 1, far; about 0, not at all.

    Raises:
        UserError: there are not more images than groups, or they do not have the same channels, or look the same.
    """
    if len(descriptors) <= k:
        raise UserError(f"{len(descriptors)} images cannot be divided into {k} groups.", "Give less with --sites.")
    if len({len(found) for found in descriptors}) > 1:
        raise UserError(
            "the images do not all have the same number of channels.", "Give those of one kind, one kind at a time."
        )
    points = StandardScaler().fit_transform(np.stack(descriptors))
    if len(np.unique(points, axis=0)) < k:
        raise UserError(f"fewer than {k} images are different from each other.", "Give less with --sites.")
    clusters = KMeans(k, n_init=10, random_state=0).fit_predict(points)
    largest_first = np.argsort(-np.bincount(clusters, minlength=k), kind="stable")
    places = np.argsort(largest_first)
    return [int(places[cluster]) + 1 for cluster in clusters], float(silhouette_score(points, clusters))
