"""The labels of a data set, as our reports name them."""

from typing import Any


def foreground(dataset_json: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The name of each label or region to its values, without background and ignore label.

    nnU-Net's `LabelManager` knows the values, but not their names.
    """
    labels = {name: value for name, value in dataset_json["labels"].items() if name not in ("background", "ignore")}
    return {name: tuple(value) if isinstance(value, list) else (value,) for name, value in labels.items()}


def label_names(dataset_json: dict[str, Any]) -> tuple[dict[str, int], int | None]:
    """Name and value of each label in a data set's files, ascending, and the value of the ignore label or None.

    Where regions are trained, labels that belong to none alone are named by their value.
    """
    given = dict(dataset_json["labels"])
    ignore = given.pop("ignore", None)
    names = {value: name for name, value in given.items() if isinstance(value, int)}
    values = {v for value in given.values() for v in (value if isinstance(value, list | tuple) else [value])}
    return {names.get(value, str(value)): value for value in sorted(values)}, ignore
