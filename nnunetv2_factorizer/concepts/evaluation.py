"""How categories and labels go together: what each category is taken for, and how well that segments.

Counted by hand: scikit-learn's contingency tables leave out what an image lacks, and its scores ask for the voxels.

All follows from tables `(k + 1, labels)` of voxels, one an image: rows are categories (0 is none), columns labels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nnunetv2_factorizer.errors import UserError

PROTOCOLS = ("matching", "matching-normalised", "probe")


def count(
    prediction: NDArray[np.integer], truth: NDArray, categories: int, labels: Sequence[int], ignore: int | None = None
) -> NDArray[np.int64]:
    """The table of an image.

    Args:
        prediction: categories 0 to k.
        truth: labels, of the same shape.
        categories: k.
        labels: all values that count, ascending.
        ignore: a label whose voxels do not count.

    Raises:
        UserError: the shapes differ, or there is another category or label.
    """
    if prediction.shape != truth.shape:
        raise UserError(
            f"the prediction is {prediction.shape}, the label {truth.shape}.",
            "Give labels of the images that were predicted.",
        )
    prediction, truth = prediction.astype(np.int64), truth.astype(np.int64)
    if ignore is not None:
        prediction, truth = prediction[truth != ignore], truth[truth != ignore]
    unknown = sorted(set(np.unique(truth).tolist()) - set(labels))
    if unknown or prediction.max(initial=0) > categories:
        wrong = f"label {unknown[0]}" if unknown else f"category {prediction.max()}"
        raise UserError(
            f"there is a voxel of {wrong}; known are categories to {categories} and labels {list(labels)}.",
            "Give the dataset.json of the labels with -djfile, and the predictions of one dictionary.",
        )
    column = np.searchsorted(np.asarray(labels), truth)
    cells = np.bincount((prediction * len(labels) + column).ravel(), minlength=(categories + 1) * len(labels))
    return cells.reshape(categories + 1, len(labels))


def match(tables: Sequence[NDArray], *, normalised: bool = False) -> NDArray[np.intp]:
    """For each category the column of the label with most of its voxels, `(k + 1,)`; the first for an empty category.

    Args:
        tables: of the images that decide.
        normalised: voxels are weighted by the inverse of their label's frequency, so that rare labels get a chance.
    """
    total = np.sum(tables, axis=0, dtype=np.float64)
    if normalised:
        total /= np.maximum(total.sum(0), 1)
    return total.argmax(1)


def probe(tables: Sequence[NDArray], centres: NDArray, threshold: float) -> NDArray[np.intp]:
    """For each category the column of the label that a linear classifier gives its centre, `(k + 1,)`.

    The classifier (scikit-learn's `LogisticRegression` on standardised features) learns from the centres of the
    categories that fall to more than `threshold` of their voxels into one label, a pair for each image. Category 0 has
    no centre, and is matched.

    Args:
        tables: of the images that decide.
        centres: `(k, C)` of the dictionary.
        threshold: at least 0.5, less than 1.

    Raises:
        UserError: the threshold is another, or the categories that are so pure are all of one label.
    """
    if not 0.5 <= threshold < 1:
        raise UserError(
            f"--threshold must be at least 0.5 and less than 1, got {threshold:g}.", "Give another --threshold."
        )
    pairs = [
        (category, int(row.argmax()))
        for table in tables
        for category, row in enumerate(table[1:])
        if row.max() > threshold * row.sum()
    ]
    found = {label for _, label in pairs}
    if len(found) < 2:
        raise UserError(
            f"{len(pairs)} times a category of an image falls to more than {threshold:g} into one label, of "
            f"{len(found)} labels in all; a linear probe needs 2.",
            "Give a smaller --threshold, a dictionary with a larger -k, or another --protocol.",
        )
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(centres[[category for category, _ in pairs]], [label for _, label in pairs])
    return np.concatenate([match(tables)[:1], classifier.predict(centres)])


def decide(protocol: str, tables: Sequence[NDArray], centres: NDArray | None, threshold: float) -> NDArray[np.intp]:
    """The column of each category by one of the `PROTOCOLS`; see `match` and `probe`."""
    if protocol == "probe":
        assert centres is not None  # The command asks for the dictionary.
        return probe(tables, centres, threshold)
    return match(tables, normalised=protocol == "matching-normalised")


def score(tables: Sequence[NDArray], columns: NDArray[np.intp]) -> tuple[NDArray, NDArray]:
    """Dice of each image and label `(images, labels)`, and F1 of each label over all voxels `(labels,)`.

    As in nnU-Net's evaluation, a label that is neither in the truth nor in the prediction has NaN.

    Args:
        tables: of the images that are scored.
        columns: of each category, `(k + 1,)`.
    """
    number = tables[0].shape[1]
    confusion = np.stack(
        [[table[columns == column].sum(0) for column in range(number)] for table in tables]
    )  # (images, predicted, true)
    return _f1(confusion), _f1(confusion.sum(0))


def _f1(confusion: NDArray) -> NDArray:
    """2 TP / (2 TP + FP + FN) from `(..., predicted, true)`."""
    true_positive = np.diagonal(confusion, axis1=-2, axis2=-1)
    total = confusion.sum(-1) + confusion.sum(-2)
    return np.divide(2 * true_positive, total, out=np.full(total.shape, np.nan), where=total > 0)


def summarise(
    names: Sequence[str], labels: dict[str, int], tables: Sequence[NDArray], columns: NDArray[np.intp]
) -> dict[str, Any]:
    """What a person and a program want to know, for JSON: NaN becomes None, means leave it out.

    Args:
        names: of the images.
        labels: name and value, in the order of the columns.
        tables: of the images.
        columns: of each category.
    """
    dice, f1 = score(tables, columns)
    foreground = [name for name, value in labels.items() if value != 0]
    by_label = {name: {"Dice": _mean(dice[:, column]), "F1": _number(f1[column])} for column, name in enumerate(labels)}
    return {
        "categories": {category: list(labels)[column] for category, column in enumerate(columns.tolist())},
        "mean": by_label,
        "foreground_mean": {
            key: _mean([by_label[name][key] for name in foreground if by_label[name][key] is not None])
            for key in ("Dice", "F1")
        },
        "cases": {
            name: {label: _number(value) for label, value in zip(labels, row, strict=True)}
            for name, row in zip(names, dice, strict=True)
        },
    }


def _mean(values: Sequence[float | None] | NDArray) -> float | None:
    known = np.array([value for value in values if value is not None and np.isfinite(value)])
    return float(known.mean()) if len(known) else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
