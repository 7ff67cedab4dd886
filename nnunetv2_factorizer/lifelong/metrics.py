"""What a matrix of Dice over stages says: Dice, backward and forward transfer.

`R[i][j]` is the mean Dice after stage i on held-out cases of stage j, both counted from 0, T the number of stages:

    Dice = mean over j of R[T-1][j]
    BWT  = mean over j < T-1 of R[T-1][j] - R[j][j]      near 0 is good, negative is forgetting
    FWT  = mean over j > 0 of R[j][j] - R[j-1][j]        what training on a stage brings there

FWT is not the usual one, which asks what earlier stages bring to a later one without training on it: ODEx describes it
as the effect of training on a stage, and its table is positive. Both signs are those of its table.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

Matrix = Sequence[Sequence[float | None]]
"""None where a cell was not measured."""


@dataclass(frozen=True)
class Summary:
    """None where a cell that is needed was not measured, or there is one stage only."""

    dice: float | None
    bwt: float | None
    fwt: float | None


def summarize(matrix: Matrix) -> Summary:
    """Of a matrix `(stages, stages)`."""
    last, stages = len(matrix) - 1, range(len(matrix))
    return Summary(
        dice=_mean(matrix[last]),
        bwt=_mean(_minus(matrix[last][j], matrix[j][j]) for j in stages[:-1]),
        fwt=_mean(_minus(matrix[j][j], matrix[j - 1][j]) for j in stages[1:]),
    )


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _mean(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if not known or None in known else mean(value for value in known if value is not None)
