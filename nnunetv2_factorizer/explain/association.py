"""Which component goes with which label."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Association:
    """How well a component alone tells a label; everything is None where the label is nowhere or everywhere.

    Attributes:
        auc: area under the ROC curve of the component as a score of the label; 0.5 says nothing.
        sign: 1 where high values mean the label (`auc >= 0.5`), -1 where low ones do.
        dice: the best one over all thresholds, of `component >= threshold`, or `<=` where the sign is -1.
        threshold: the one that gives it.
    """

    auc: float | None = None
    sign: int | None = None
    dice: float | None = None
    threshold: float | None = None

    @property
    def strength(self) -> float:
        """How far the AUC is from saying nothing, whatever the sign: 0 to 0.5."""
        return 0.0 if self.auc is None else abs(self.auc - 0.5)


def associate(
    component: NDArray[np.floating], masks: Mapping[str, NDArray[np.bool_]], valid: NDArray[np.bool_] | None = None
) -> dict[str, Association]:
    """The association of one component with each label.

    Args:
        component: `(z, y, x)`.
        masks: name of the label (or region) to where it is, `(z, y, x)`.
        valid: the voxels that count, `(z, y, x)`: not the ignore label. None: all.
    """
    chosen = np.ones(component.shape, bool) if valid is None else valid
    # Sorted once for all labels: a brain has millions of voxels.
    values, index = np.unique(component[chosen], return_inverse=True)
    voxels = np.bincount(index, minlength=len(values))
    return {
        name: _association(values, voxels, np.bincount(index[mask[chosen]], minlength=len(values)))
        for name, mask in masks.items()
    }


def _association(values: NDArray[np.floating], voxels: NDArray[np.intp], positives: NDArray[np.intp]) -> Association:
    """From the distinct values, ascending, and how many voxels, and voxels of the label, have each."""
    size, total = int(positives.sum()), int(voxels.sum())
    if size in (0, total):
        return Association()
    others = voxels - positives
    lower = np.cumsum(others) - others
    # The share of pairs, a voxel of the label and another, in which the label's is higher; a tie is half. In integers,
    # so that what says nothing is 0.5 exactly.
    area = int((positives * (2 * lower + others)).sum()) / (2 * size * (total - size))
    thresholds = values
    if area >= 0.5:  # from the highest value down
        positives, voxels, thresholds = positives[::-1], voxels[::-1], values[::-1]
    true, chosen = np.cumsum(positives), np.cumsum(voxels)
    dice = 2 * true / (chosen + size)
    best = int(dice.argmax())
    return Association(area, 1 if area >= 0.5 else -1, float(dice[best]), float(thresholds[best]))
