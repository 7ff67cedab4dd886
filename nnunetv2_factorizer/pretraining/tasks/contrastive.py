"""Contrastive pre-training, with which Yildiz et al. (2022) compare their comparative one.

All other parts of an image stand in one denominator: each is seen through the others, where the comparative loss takes
them one by one. Steps and stopping rule are those of the comparative task (ours: only the loss differs).
"""

from torch import Tensor

from nnunetv2_factorizer.pretraining.tasks.ranking import SliceRanking, mean


class Contrastive(SliceRanking):
    """Eq. 3: the mean over c, i, j and p of `-log(e^s(ref, sim) / (e^s(ref, sim) + sum over p~ of e^s(ref, dis)))`."""

    def of_triplets(self, difference: Tensor, there: Tensor) -> Tensor:
        """With numerator and denominator divided by `e^s(ref, sim)`."""
        others = (difference.exp() * there).sum(-1)
        return mean(others.log1p(), there.any(-1))
