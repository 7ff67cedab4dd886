"""How far an image is from the training cases, and in which way."""

from dataclasses import dataclass

from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import Tensor

from nnunetv2_factorizer.case_metadata import Value
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.screen.descriptors import describe, words
from nnunetv2_factorizer.screen.features import early_features
from nnunetv2_factorizer.screen.statistics import Statistics

THRESHOLD = 1.0
"""Of the normalised distance: 95 % of the held-out training cases are below."""


@dataclass(frozen=True)
class Score:
    """Of one image.

    Attributes:
        distance: to the training cases; 95 % of held-out training cases are below 1.
        shifted: whether it is above the threshold.
        nearest: the value of the column whose training cases are nearest; None where there is no column.
        deviations: of each descriptor, in standard deviations of the training cases.
    """

    distance: float
    shifted: bool
    nearest: Value | None
    deviations: dict[str, float]

    @property
    def reasons(self) -> list[str]:
        """What is unusual of a shifted image, most unusual first; empty where nothing that is measured is."""
        return words(self.deviations) if self.shifted else []


def score_image(
    predictor: nnUNetPredictor, data: Tensor, statistics: Statistics, threshold: float = THRESHOLD
) -> Score:
    """The distance of an image to the training cases of a fold, and what is unusual about it.

    Args:
        predictor: initialised with that fold alone, which is not checked.
        data: the preprocessed image `(C, *S)`.
        statistics: of the fold, see `read_statistics`.
        threshold: of the normalised distance.

    Raises:
        UserError: the image has another number of channels, or the statistics are of other features.
    """
    if len(data) != statistics.channels:
        raise UserError(
            f"the image has {len(data)} channels, the training cases had {statistics.channels}.",
            f"Give images with {statistics.channels} channels, or another model.",
        )
    features = early_features(predictor, data)
    if (number := len(statistics.entries[0].mean)) != len(features):
        raise UserError(
            f"the statistics are of {number} features, and there are {len(features)}: another version made them.",
            "Make them again by `nnUNetv2_factorizer_screen fit`.",
        )
    distance, entry = statistics.nearest(features)
    found = describe(predictor, data)
    deviations = {name: typical.deviation(found[name]) for name, typical in statistics.descriptors.items()}
    return Score(distance, distance > threshold, entry.value, deviations)
