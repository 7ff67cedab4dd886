"""Comparative pre-training (Yildiz et al., 2022): slices of the same part are nearer than slices of different parts.

Eq. 1 is the Bradley-Terry model, the probability s(ref, sim) / (s(ref, sim) + s(ref, dis)) that the similar slice wins;
a cosine may be negative, and this then is no probability. Eq. 2, which is trained, is the same model with s as the
logarithm of the strength: it takes any number. The paper presents both as one.
"""

from torch import Tensor
from torch.nn import functional

from nnunetv2_factorizer.pretraining.tasks.ranking import SliceRanking, mean


class Comparative(SliceRanking):
    """Eq. 2: the mean over c, i, j, p and p~ of `log(1 + exp(s(ref, dis) - s(ref, sim)))`."""

    def of_triplets(self, difference: Tensor, there: Tensor) -> Tensor:
        return mean(functional.softplus(difference), there)
