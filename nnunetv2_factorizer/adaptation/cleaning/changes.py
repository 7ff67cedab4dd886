"""What a correction changed, in numbers and in a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

Changes = dict[str, int]
"""Voxels and connected components that were added and removed."""

NAMES = ("voxels_added", "voxels_removed", "components_added", "components_removed")
COLOURS = ("tab:red", "tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:cyan", "tab:pink", "tab:olive")
"""Of the classes in turn."""


def changes_of(given: NDArray, corrected: NDArray, classes: Mapping[str, int]) -> dict[str, Changes]:
    """For each class what was added and removed.

    A component counts as added where no voxel of it had the class before, as removed where none has it any more.

    Args:
        given: labels `(*S)`.
        corrected: labels `(*S)`.
        classes: name to label.
    """
    result = {}
    for name, label in classes.items():
        before, after = given == label, corrected == label
        numbers = (np.sum(after & ~before), np.sum(before & ~after), _apart(after, before), _apart(before, after))
        result[name] = {key: int(number) for key, number in zip(NAMES, numbers, strict=True)}
    return result


def _apart(mask: NDArray, other: NDArray) -> int:
    """Components of a mask without a voxel of the other."""
    components, number = ndimage.label(mask)
    return number - len(np.unique(components[mask & other]))


def write_picture(
    path: Path, image: NDArray, given: NDArray, corrected: NDArray, labels: Sequence[int], spacing: Sequence[float]
) -> None:
    """A PNG of the slice with most changes: the image, the given labels on it, the corrected ones, and the changes.

    Args:
        path: of the file.
        image: one channel `(z, y, x)`.
        given: labels `(z, y, x)`.
        corrected: labels `(z, y, x)`.
        labels: of the classes.
        spacing: mm `(z, y, x)`, or `(y, x)`.
    """
    changed = given != corrected
    z = int(changed.sum((1, 2)).argmax())
    low, high = np.percentile(image, (0.5, 99.5))
    panels = {"image": None, "given": given[z], "corrected": corrected[z], "changed": changed[z]}
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    for axis, (title, shown) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        axis.imshow(image[z], "gray", vmin=low, vmax=high, aspect=spacing[-2] / spacing[-1])
        if title == "changed":
            axis.imshow(_only(shown), ListedColormap(["yellow"]), aspect=spacing[-2] / spacing[-1], alpha=0.7)
        elif shown is not None:
            for number, label in enumerate(labels):
                colours = ListedColormap([COLOURS[number % len(COLOURS)]])
                axis.imshow(_only(shown == label), colours, aspect=spacing[-2] / spacing[-1], alpha=0.5)
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    figure.savefig(path, dpi=100, format="png")


def _only(mask: NDArray) -> np.ma.MaskedArray:
    return np.ma.masked_where(~mask, mask.astype(np.uint8))
