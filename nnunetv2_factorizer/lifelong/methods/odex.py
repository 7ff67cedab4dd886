"""ODEx: a pool of models, of which a stage continues the nearest or opens a new one (Gonzalez et al.).

    history of model j:  B_j = {(mu_k, Sigma_k)}, one entry a stage
    distance:            d_j(z) = sum over B_j of D_M(z; mu, Sigma),  D_M^2 = (z - mu)^T Sigma^-1 (z - mu)
    nearest:             j* = argmin_j d_j(z), the same in training and for an image
    a stage continues j* where the mean of d_j* over its cases is below xi = 2 mu, mu the mean distance of data that
    j* knows; else a new model begins as a copy of j*, with a copy of its history. The stage's entry is appended.

In the paper: `mu` is the feature mean and the mean distance, both. By Eq. 4, read literally with one network for all
features, a model that was copied and has one entry more is farther than its origin for every image, so that no image
would choose it; `sum` is that. `mean` and `min` are ours. `min` is the default: of two models that are equally near the
older one is taken, so a copy is chosen for what it alone has seen.

Ours, too: features z of the screen (inputs of instance normalisation, of which z after it says nothing), all by the
network of the first stage, so that entries never go stale and distances to several models can be compared; shrunken
covariances; each distance is divided by the one that 95 % of held-out cases of that stage stay below, in place of the
range from the minimum to twice the maximum; the cases of mu are held-out ones of the latest stage of j*.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunetv2_factorizer.adaptation.methods import All

HISTORIES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "min": lambda d: d.min(1),
    "mean": lambda d: d.mean(1),
    "sum": lambda d: d.sum(1),
}
"""From the distances `(cases, entries)` to those of the whole history `(cases,)`."""


class ODEx(All):
    """One stage of it: the chosen model goes on, and the whole network moves."""


@dataclass(frozen=True)
class Choice:
    """What a stage does with a pool.

    Attributes:
        nearest: index of a model.
        distances: mean over the cases of the stage, to each model.
        threshold: xi of the nearest one.
    """

    nearest: int
    distances: tuple[float, ...]
    threshold: float

    @property
    def opens(self) -> bool:
        """Whether a new model begins."""
        return self.distances[self.nearest] >= self.threshold


def to_models(to_stages: NDArray[np.float64], histories: Sequence[Sequence[int]], how: str) -> NDArray[np.float64]:
    """Distances to models `(cases, models)`.

    Args:
        to_stages: distances `(cases, stages)` to the entry of each stage.
        histories: of each model, the indices of its stages.
        how: one of `HISTORIES`.
    """
    return np.column_stack([HISTORIES[how](to_stages[:, list(history)]) for history in histories])


def threshold(held_out: NDArray[np.float64], history: Sequence[int], how: str) -> float:
    """xi of a model, from the distances `(cases, stages)` of held-out cases of its latest stage."""
    return 2 * float(to_models(held_out, [history], how).mean())


def choose(
    to_stages: NDArray[np.float64],
    held_out: Sequence[NDArray[np.float64]],
    histories: Sequence[Sequence[int]],
    how: str,
) -> Choice:
    """Whether a stage continues a model.

    Args:
        to_stages: distances `(cases, stages)` of its cases.
        held_out: of each earlier stage, the distances `(cases, stages)` of its held-out cases to the stages up to it.
        histories: of each model, the indices of its stages, the latest one last.
        how: one of `HISTORIES`.
    """
    distances = to_models(to_stages, histories, how).mean(0)
    nearest = int(distances.argmin())
    history = histories[nearest]
    return Choice(nearest, tuple(distances.tolist()), threshold(held_out[history[-1]], history, how))
