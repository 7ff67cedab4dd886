"""Two data sets behind nnU-Net's loader, which draws a given share of a batch from the first, in all its workers."""

from multiprocessing import Value
from typing import Any

import numpy as np

from nnunetv2_factorizer.adaptation.augmenter import change_loader


class Mixture:
    """Target and source cases as one data set of nnU-Net's.

    Workers hold copies of the loader, so the share is a value in shared memory. Batches that wait in nnU-Net's queues
    when the share changes (twelve and one a worker) are still those of the share before.

    Args:
        target: data set of the new scanner.
        name: of the source; its cases are called NAME/CASE, since both may have cases of equal names.
        source: data set of the source.
        batch_size: n of a batch.
        share: of target samples, in [0, 1].
    """

    def __init__(self, target: Any, name: str, source: Any, batch_size: int, share: float) -> None:
        self.target, self.source, self.batch_size = target, source, batch_size
        self.prefix = f"{name}/"
        self._of_source = [self.prefix + case for case in source.identifiers]
        self.identifiers = [*target.identifiers, *self._of_source]
        self.share = Value("d", share)

    def is_target(self, case: str) -> bool:
        """Whether a case is of the new scanner."""
        return not case.startswith(self.prefix)

    def load_case(self, identifier: str) -> tuple[Any, Any, Any, dict[str, Any]]:
        """As nnU-Net's data sets do."""
        if self.is_target(identifier):
            return self.target.load_case(identifier)
        return self.source.load_case(identifier.removeprefix(self.prefix))

    def draw(self) -> np.ndarray:
        """The cases of a batch, n_target ~ Binomial(n, share), from numpy's global generator as nnU-Net draws them.

        They are shuffled, since nnU-Net takes foreground in the last ones.
        """
        n_target = np.random.binomial(self.batch_size, self.share.value)
        target = np.random.choice(self.target.identifiers, n_target)
        source = np.random.choice(self._of_source, self.batch_size - n_target)
        return np.random.permutation([*target, *source])

    def take_over(self, augmenter: Any) -> None:
        """Makes nnU-Net's loader draw by the share, whose workers it has started with its own way to draw."""

        def drawn_by_share(loader: Any) -> Any:
            loader.get_indices = self.draw
            return loader

        change_loader(augmenter, drawn_by_share)
