"""What a stage was like: mean and shrunken covariance of early features, and what distances were usual."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.preprocessed_cases import FoldCases
from nnunetv2_factorizer.screen.features import early_features
from nnunetv2_factorizer.screen.fitting import FEWEST, cross_fitted, unit_of
from nnunetv2_factorizer.screen.statistics import Entry

Features = Mapping[str, NDArray[np.float64]]
"""Of each case, `(F,)`."""


@dataclass(frozen=True)
class Seen:
    """One entry of a history.

    Attributes:
        entry: mean and covariance of the training cases.
        unit: the Mahalanobis distance that 95 % of held-out cases are below; distances are divided by it.
        held_out: distances `(cases, stages)` of the held-out cases to the stages up to this one, the last column.
    """

    entry: Entry
    unit: float
    held_out: NDArray[np.float64]

    def distances(self, features: Sequence[NDArray[np.float64]]) -> list[float]:
        """Of each case, 1 being the one that 95 % of held-out cases are below."""
        return [self.entry.distance(z) / self.unit for z in features]


def measure(predictor: nnUNetPredictor, cases: FoldCases, *, show_progress: bool) -> Features:
    """The features of all cases of a stage.

    Args:
        predictor: of the network that measures for the whole pool.
        cases: of the fold.
        show_progress: whether there is a bar.
    """
    names = [*cases.train, *cases.validation]
    measured = map_cases(partial(_features, predictor, cases), names, show_progress=show_progress)
    return dict(zip(names, measured, strict=True))


def _features(predictor: nnUNetPredictor, cases: FoldCases, name: str) -> NDArray[np.float64]:
    return early_features(predictor, cases.image(name))


def require_enough(cases: FoldCases, dataset: str) -> None:
    """Raises a `UserError` where the covariance of a stage would say nothing."""
    if (number := len(cases.train)) < FEWEST:
        raise UserError(
            f"the stage {dataset} has {number} training cases, which do not say how much its cases differ.",
            f"At least {FEWEST} are needed, and tens are better. Join it with the next stage; or adapt a model without "
            "a pool, by a trainer such as nnUNetTrainer_AdaptAll.",
        )


def see(features: Features, cases: FoldCases, earlier: Sequence[Seen]) -> Seen:
    """The entry of a stage. Validation cases are held out by the fold, training cases in turns, each fifth.

    Args:
        features: of its cases.
        cases: which of them are for training.
        earlier: the entries of the stages before.
    """
    entry = Entry.of(np.stack([features[name] for name in cases.train]))
    of_training = cross_fitted(features, {None: cases.train})
    distances = of_training | {name: entry.distance(features[name]) for name in cases.validation}
    unit = unit_of(distances)
    own = np.array(list(distances.values())) / unit
    return Seen(entry, unit, np.column_stack([to_stages([features[name] for name in distances], earlier), own]))


def to_stages(features: Sequence[NDArray[np.float64]], stages: Sequence[Seen]) -> NDArray[np.float64]:
    """Distances `(cases, stages)`."""
    return np.array([stage.distances(features) for stage in stages]).reshape(len(stages), len(features)).T
