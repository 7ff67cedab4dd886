"""The labels of a data set, as our reports name them."""

from typing import Any


def foreground(dataset_json: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The name of each label or region to its values, without background and ignore label.

    nnU-Net's `LabelManager` knows the values, but not their names.
    """
    labels = {name: value for name, value in dataset_json["labels"].items() if name not in ("background", "ignore")}
    return {name: tuple(value) if isinstance(value, list) else (value,) for name, value in labels.items()}
