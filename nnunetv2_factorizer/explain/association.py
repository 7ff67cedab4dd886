"""Which component goes with which label."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK = 2**20
"""Voxels of a volume that are worked on at a time, roughly: whole slices."""
SAMPLE = 2**16
"""Voxels of a label, or all if it has fewer, among whose values its thresholds are chosen."""
THRESHOLDS = 2**12
"""Of a label: the values of its sample at equal steps of rank, or all if there are fewer."""

Chunk = tuple[slice, ...]


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

    Voxels are counted between thresholds, chunk by chunk, so the memory does not grow with the volume: about 15 MiB for
    slices of up to 1024x1024. The thresholds are values that the label has, at equal steps of rank. Between two of them
    lies less than 0.06 % of the label, whatever values the other voxels have; a value that much of the label has, such
    as 0, is a threshold itself. So the AUC is within 0.0003 of that of all pairs of voxels, and the Dice at most 0.0012
    below the best of all thresholds. For a label of up to 4096 voxels both are exact.

    Args:
        component: `(z, y, x)`; may be mapped from a file.
        masks: name of the label (or region) to where it is, `(z, y, x)`.
        valid: the voxels that count, `(z, y, x)`: not the ignore label. None: all.
    """
    valid = np.broadcast_to(np.True_, component.shape) if valid is None else valid
    chunks = _chunks(component.shape)
    total = sum(int(np.count_nonzero(valid[chunk])) for chunk in chunks)
    sizes = {
        name: sum(int(np.count_nonzero(mask[chunk] & valid[chunk])) for chunk in chunks) for name, mask in masks.items()
    }
    thresholds = {
        name: _thresholds(component, masks[name], valid, chunks, size)
        for name, size in sizes.items()
        if 0 < size < total
    }
    voxels, positives = ({name: np.zeros((2, len(t)), np.int64) for name, t in thresholds.items()} for _ in range(2))
    for chunk in chunks:
        ordered = np.sort(component[chunk][valid[chunk]])  # once for all labels
        for name, of_label in thresholds.items():
            voxels[name] += _count(ordered, of_label)
            positives[name] += _count(np.sort(component[chunk][masks[name][chunk] & valid[chunk]]), of_label)
    return {
        name: _association(thresholds[name], voxels[name], positives[name], total, size)
        if name in thresholds
        else Association()
        for name, size in sizes.items()
    }


def _chunks(shape: tuple[int, ...]) -> list[Chunk]:
    """The volume in chunks of about `CHUNK` voxels along its first axis; of an image in 2D, that is the second one."""
    axis = next((axis for axis, length in enumerate(shape) if length > 1), 0)
    step = max(1, CHUNK * shape[axis] // max(1, math.prod(shape)))
    return [(slice(None),) * axis + (slice(start, start + step),) for start in range(0, shape[axis], step)]


def _thresholds(
    component: NDArray[np.floating],
    mask: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    chunks: Sequence[Chunk],
    size: int,
) -> NDArray[np.floating]:
    """Values of the label, ascending: quantiles of a sample of its `size` voxels."""
    # At random, as voxels at equal steps could all lie in one column of the label; with a seed, to find the same again.
    picked = np.arange(size) if size <= SAMPLE else np.sort(np.random.default_rng(0).integers(size, size=SAMPLE))
    sample, seen = [], 0
    for chunk in chunks:
        values = component[chunk][mask[chunk] & valid[chunk]]
        first, last = np.searchsorted(picked, (seen, seen + len(values)))
        sample.append(values[picked[first:last] - seen])
        seen += len(values)
    ordered = np.sort(np.concatenate(sample))
    ranks = np.linspace(0, len(ordered) - 1, min(THRESHOLDS, len(ordered))).round().astype(np.intp)
    return np.unique(ordered[ranks])


def _count(ordered: NDArray[np.floating], thresholds: NDArray[np.floating]) -> NDArray[np.intp]:
    """How many of the ascending values are below each threshold, and how many are not above it, `(2, threshold)`."""
    return np.stack([np.searchsorted(ordered, thresholds, side) for side in ("left", "right")])


def _association(
    thresholds: NDArray[np.floating],
    voxels: NDArray[np.int64],
    positives: NDArray[np.int64],
    total: int,
    size: int,
) -> Association:
    """From what `_count` gives of all `total` voxels and of the `size` voxels of the label."""
    # In turn those between two thresholds and those that have the value of one.
    in_bin, of_label = (
        np.diff(counts.T.ravel(), prepend=0, append=end) for counts, end in ((voxels, total), (positives, size))
    )
    others = in_bin - of_label
    lower = np.cumsum(others) - others
    # The share of pairs, a voxel of the label and another, in which the label's is higher; a tie, or a pair in the same
    # bin, is half. In integers, so that what says nothing is 0.5 exactly.
    area = int((of_label * (2 * lower + others)).sum()) / (2 * size * (total - size))
    if area >= 0.5:  # from the highest value down
        true, chosen, thresholds = (size - positives[0])[::-1], (total - voxels[0])[::-1], thresholds[::-1]
    else:
        true, chosen = positives[1], voxels[1]
    dice = 2 * true / (chosen + size)
    best = int(dice.argmax())
    return Association(area, 1 if area >= 0.5 else -1, float(dice[best]), float(thresholds[best]))
