"""What the screen keeps of a fold's training cases: numbers in `fold_X/screen.json`, beside the checkpoint."""

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from nnunetv2_factorizer import DISTRIBUTION
from nnunetv2_factorizer.case_metadata import Value
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.folders import require_checkpoint
from nnunetv2_factorizer.models.identity import sha256
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.screen.descriptors import Typical

FILE = "screen.json"

NEGLIGIBLE = 1e-6
"""Of a feature: what deviates less is the error of rounding."""


@dataclass(frozen=True)
class Entry:
    """Mean and covariance of the features of some training cases.

    Attributes:
        value: that these cases have in the column of `Statistics`; None where there is no column.
        cases: their number.
        mean: of each feature, `(F,)`.
        deviation: standard deviation of each feature, `(F,)`.
        covariance: of the features divided by their deviations, shrunken by Ledoit and Wolf, `(F, F)`.
    """

    value: Value | None
    cases: int
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float64], value: Value | None = None) -> "Entry":
        """Of the features `(cases, F)`. They are scaled first, since shrinkage takes all to be of one size."""
        mean, deviation = features.mean(0), np.maximum(features.std(0), NEGLIGIBLE)
        covariance = LedoitWolf(assume_centered=True).fit((features - mean) / deviation).covariance_
        return cls(value, len(features), mean, deviation, covariance)

    def distance(self, features: NDArray[np.float64]) -> float:
        """Mahalanobis distance of the features `(F,)` of a case."""
        z = (features - self.mean) / self.deviation
        return float(np.sqrt(z @ self._precision @ z))

    @cached_property
    def _precision(self) -> NDArray[np.floating]:
        return np.linalg.pinv(self.covariance, hermitian=True)


@dataclass(frozen=True)
class Statistics:
    """Of the training cases of one fold.

    Attributes:
        dataset: name.
        configuration: such as `3d_fullres`.
        trainer: name.
        fold: such as `0` or `all`.
        checkpoint: name of the file.
        checkpoint_sha256: of it.
        channels: C of the preprocessed images.
        column: of `case_metadata.json`, whose values have an entry each; None where there is one entry.
        entries: see `Entry`.
        unit: the Mahalanobis distance that 95 % of the held-out cases are below; distances are divided by it.
        held_out: the normalised distance of each held-out case.
        descriptors: name to mean and spread, see `describe`.
    """

    dataset: str
    configuration: str
    trainer: str
    fold: str
    checkpoint: str
    checkpoint_sha256: str
    channels: int
    column: str | None
    entries: tuple[Entry, ...]
    unit: float
    held_out: dict[str, float]
    descriptors: dict[str, Typical]

    def nearest(self, features: NDArray[np.float64]) -> tuple[float, Entry]:
        """The normalised distance to the nearest entry, and which one that is."""
        distances = [entry.distance(features) for entry in self.entries]
        index = int(np.argmin(distances))
        return distances[index] / self.unit, self.entries[index]

    def save(self, path: Path) -> None:
        """Writes JSON; what was there stays until it is whole."""
        record = {DISTRIBUTION: version(DISTRIBUTION), **dataclasses.asdict(self)}
        with replacing(str(path)) as unfinished:
            Path(unfinished).write_text(json.dumps(record, default=np.ndarray.tolist) + "\n", encoding="utf-8")


def read_statistics(model_folder: Path, fold: str) -> Statistics:
    """What `nnUNetv2_factorizer_screen fit` kept of a fold.

    Args:
        model_folder: `DATASET/TRAINER__PLANS__CONFIGURATION`.
        fold: such as `0` or `all`.

    Raises:
        UserError: there is none, it is damaged, or it is of another checkpoint than the one that is there.
    """
    path = model_folder / f"fold_{fold}" / FILE
    remedy = f"Make it with `nnUNetv2_factorizer_screen fit -m {model_folder} -f {fold}`."
    if not path.is_file():
        raise UserError(f"{path} does not exist.", remedy)
    try:
        statistics = _from(read_json(path))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is damaged: {error!r}.", remedy) from error
    if statistics.fold != fold:
        raise UserError(f"{path} is of fold {statistics.fold}, not of fold {fold}.", remedy)
    checkpoint = require_checkpoint(model_folder, fold, statistics.checkpoint)
    if (found := sha256(checkpoint)) != statistics.checkpoint_sha256:
        raise UserError(
            f"{path} was made with another checkpoint: its SHA-256 is {statistics.checkpoint_sha256}, that of "
            f"{checkpoint} is {found}.",
            remedy,
        )
    return statistics


def entry_from(record: dict[str, Any]) -> Entry:
    """An entry as JSON holds it.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    entry = Entry(**record | {name: np.array(record[name], float) for name in ("mean", "deviation", "covariance")})
    if entry.covariance.shape != (len(entry.mean),) * 2 or entry.deviation.shape != entry.mean.shape:
        raise ValueError("mean and covariance are of different sizes")
    return entry


def _from(record: dict[str, Any]) -> Statistics:
    del record[DISTRIBUTION]
    entries = tuple(map(entry_from, record["entries"]))
    descriptors = {name: Typical(**typical) for name, typical in record["descriptors"].items()}
    return Statistics(**record | {"entries": entries, "descriptors": descriptors})
