"""Rehearsal: a few cases of the earlier stages are trained on beside those of the present one.

Ours: a quarter of the training cases of each earlier stage, at least one, drawn once by a fixed seed, so that they are
the same ones in all later stages. All cases, old and new, are drawn equally often.
"""

import math
from typing import Any, ClassVar

import numpy as np

from nnunetv2_factorizer.adaptation.method import Method
from nnunetv2_factorizer.lifelong.joined import Joined
from nnunetv2_factorizer.lifelong.stage import cases_of, current_stage


class Rehearsal(Method):
    """The whole network moves, on cases of all stages so far."""

    share: ClassVar[float] = 0.25
    """Of the training cases of an earlier stage."""

    def training_data(self, dataset: Any) -> Joined:
        stage = current_stage()
        earlier = {}
        for known in stage.earlier:
            cases = cases_of(known, stage.configuration)
            earlier[known.dataset] = type(cases.data)(cases.data.source_folder, few(cases.train, self.share))
        joined = Joined(dataset, earlier)
        self.trainer.print_to_log_file(
            f"Training on {len(dataset.identifiers)} cases of this stage and "
            f"{len(joined.identifiers) - len(dataset.identifiers)} of {len(earlier)} earlier stages"
        )
        return joined


def few(names: list[str], share: float) -> list[str]:
    """A share of the names, at least one; the same ones each time."""
    number = max(1, math.floor(share * len(names)))
    return sorted(np.random.default_rng(0).permutation(names)[:number].tolist())
