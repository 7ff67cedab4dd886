"""How well segments without names fit a truth; every score here chooses with the truth, see `segment.evaluation`.

Formulas of MS-Former's released code (Karimijafarbigloo et al., MIDL 2023), with T the truth, P the chosen segment:
HM = (|T or P| - |T and P|) / |T or P| and XOR = (|T or P| - |T and P|) / |T|. HM is 1 - IoU, so it cannot exceed 1; the
paper's table prints 130.8 % for k-means, which must be of another formula. In the code the segment that is numbered 0
can never be chosen; here a number has no meaning.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.optimize import linear_sum_assignment
from skimage.metrics import variation_of_information
from sklearn.metrics import adjusted_rand_score

Score = dict[str, float]
Mask = NDArray[np.bool_]

DILATION, TIMES = 7, 2
"""The released code's square, pixels, and how often it dilates by it: by 6 pixels on each side."""


def best_overlap(truth: Mask, segments: NDArray[np.integer]) -> Mask:
    """The segment with most voxels in the truth, the lowest number where several have as many.

    Args:
        truth: `(*S)`, not empty.
        segments: their numbers, at least 0, of the same shape.
    """
    chosen: Mask = segments == np.bincount(segments[truth]).argmax()
    return chosen


def overlap_scores(truth: Mask, chosen: Mask) -> Score:
    """`Dice`, `HM` and `XOR` of a mask `(*S)` for a truth that is not empty."""
    common, union = int((truth & chosen).sum()), int((truth | chosen).sum())
    return {
        "Dice": 2 * common / (int(truth.sum()) + int(chosen.sum())),
        "HM": (union - common) / union,
        "XOR": (union - common) / int(truth.sum()),
    }


def leaked(truth: Mask) -> Mask:
    """Where the released code lets a prediction be foreground: the truth, dilated in each slice `(y, x)`.

    Args:
        truth: `(z, y, x)`.
    """
    dilated: Mask = binary_dilation(truth, np.ones((1, DILATION, DILATION), bool), iterations=TIMES)
    return dilated


def matched_dice(truth: NDArray[np.integer], segments: NDArray[np.integer], labels: Sequence[int]) -> dict[int, float]:
    """Dice of each label with a segment of its own: the Hungarian matching with the largest sum of Dice.

    A label that gets none, since there are fewer segments, has 0; one that is not in the truth is left out.

    Args:
        truth: labels `(*S)`.
        segments: of the same shape.
        labels: that count, background included.
    """
    present = [label for label in labels if (truth == label).any()]
    _, number, sizes = np.unique(segments.ravel(), return_inverse=True, return_counts=True)
    common = np.array([np.bincount(number[truth.ravel() == label], minlength=len(sizes)) for label in present])
    dice = 2 * common / (common.sum(1, keepdims=True) + sizes)
    best = dict.fromkeys(present, 0.0)
    for row, column in zip(*linear_sum_assignment(dice, maximize=True), strict=True):
        best[present[row]] = float(dice[row, column])
    return best


def partition_scores(truth: NDArray[np.integer], segments: NDArray[np.integer]) -> Score:
    """`ARI`, 0 for chance and 1 for the same partition, and `VI` in bits, 0 for the same; both choose nothing.

    Args:
        truth: labels `(voxels,)`.
        segments: of the same shape.
    """
    return {
        "ARI": float(adjusted_rand_score(truth, segments)),
        "VI": float(sum(variation_of_information(truth, segments))),
    }
