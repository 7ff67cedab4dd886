"""MMTL: source and target cases in each batch, with a growing share of the target (Goodman, Greenspan, Goldberger).

In epoch e of E, counted from 0, a batch of n has n_target cases of the new scanner and n - n_target of the source:

    printed:         n_target = int(e / E n)
    their release:   n_target = floor(e / 4) + 1  of n = 16, for E = 60

By the printed rule the first epochs see no target case. The tables were made with the release: 1 of 16 at the start, 15
of 16 at the end, so the source is never dropped. Its rule is the default here.

Ours: n_target is binomial with the share of the schedule, so that its mean follows it for any n, also nnU-Net's 2. The
source is read from where the source model was trained, its training cases only.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from nnunetv2_factorizer.adaptation.method import Method
from nnunetv2_factorizer.adaptation.mixture import Mixture
from nnunetv2_factorizer.adaptation.source_data import find_source


def linear(epoch: int, epochs: int) -> float:
    """e / E: no target case in the first epoch."""
    return epoch / epochs


def linear_plus_one(epoch: int, epochs: int) -> float:
    """(floor(15 e / E) + 1) / 16: with E = 60 and n = 16 the numbers of the authors' release."""
    return (15 * epoch // epochs + 1) / 16


SCHEDULES: dict[str, Callable[[int, int], float]] = {"linear": linear, "linear_plus_one": linear_plus_one}
"""The share of target cases, by the epoch and the number of epochs."""


class MMTL(Method):
    """Fine-tune all, on batches that are mixed of both scanners; validation is that of the new one."""

    needs_source = True
    schedule: ClassVar[str] = "linear_plus_one"
    _source: tuple[str, Any]
    _mixture: Mixture
    _target, _samples = 0, 0

    def prepare(self, checkpoint: dict[str, Any], path: str) -> None:
        self._source = find_source(checkpoint, path, self.trainer)

    def training_data(self, dataset: Any) -> Mixture:
        name, source = self._source
        self._mixture = Mixture(dataset, name, source, self.trainer.batch_size, self._share())
        self.trainer.print_to_log_file(
            f"Batches are mixed of {len(dataset.identifiers)} training cases of this data set and "
            f"{len(source.identifiers)} of {name}"
        )
        return self._mixture

    def loader_ready(self, augmenter: Any) -> None:
        self._mixture.take_over(augmenter)

    def start_epoch(self) -> None:
        self._mixture.share.value = self._share()
        self._target, self._samples = 0, 0

    def observe(self, cases: Sequence[str]) -> None:
        self._target += sum(self._mixture.is_target(case) for case in cases)
        self._samples += len(cases)

    def end_epoch(self) -> None:
        self.trainer.print_to_log_file(
            f"share of target samples: {self._target / self._samples:.3f} "
            f"({self._target} of {self._samples}; schedule {self._share():.3f})"
        )

    def _share(self) -> float:
        return SCHEDULES[self.schedule](self.trainer.current_epoch, self.trainer.num_epochs)
