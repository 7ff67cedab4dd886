"""Whether an image is like those that a model was trained on."""

from nnunetv2_factorizer.screen.scoring import Score, score_image
from nnunetv2_factorizer.screen.statistics import Statistics, read_statistics

__all__ = ["Score", "Statistics", "read_statistics", "score_image"]
