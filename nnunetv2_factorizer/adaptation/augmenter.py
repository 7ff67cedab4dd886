"""nnU-Net's augmenters, which have started their workers already when a trainer gets them."""

from collections.abc import Callable
from typing import Any

from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter


def change_loader(augmenter: Any, change: Callable[[Any], Any]) -> None:
    """Gives an augmenter the loader that `change` makes of its own, and starts its workers again with it."""
    if isinstance(augmenter, SingleThreadedAugmenter):
        augmenter.data_loader = change(augmenter.data_loader)
        return
    augmenter.generator = change(augmenter.generator)
    augmenter.restart()
    next(augmenter)  # nnU-Net starts the workers like this
