"""Labels that are replaced by fused predictions, and the voxels that may be an object without a label.

A voxel takes the class of the largest fused probability where that is above tau. Only classes that the start rule has
let go are touched, the background among them: a voxel that belongs to another class, or would belong to one, stays as
given. Corrections always begin from the given labels, so what one of them got wrong the next one may mend.

    unlabelled = background, and the probability of all classes that are corrected > 1 - tau together
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BACKGROUND = 0


def correct(given: NDArray, fused: NDArray, classes: Sequence[int], tau: float) -> NDArray:
    """The corrected labels `(*S)`.

    Args:
        given: labels `(*S)`; negative ones, nnU-Net's for what lies outside of a body, stay.
        fused: probabilities `(K, *S)`.
        classes: that may be corrected, without the background.
        tau: confidence.
    """
    predicted, touched = fused.argmax(0), [BACKGROUND, *classes]
    replaced = (fused.max(0) > tau) & np.isin(given, touched) & np.isin(predicted, touched)
    return np.where(replaced, predicted, given).astype(given.dtype)


def unlabelled(corrected: NDArray, fused: NDArray, classes: Sequence[int], tau: float) -> NDArray:
    """Where the background may be an object that nobody labelled, `(*S)` of bool; arguments as in `correct`."""
    return (corrected == BACKGROUND) & (fused[list(classes)].sum(0) > 1 - tau)
