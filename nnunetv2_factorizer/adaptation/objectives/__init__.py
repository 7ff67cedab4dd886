"""Objectives beside the segmentation, one a file."""

from nnunetv2_factorizer.adaptation.objective import Objective
from nnunetv2_factorizer.adaptation.objectives.aiva import AIVA, RandomMatching
from nnunetv2_factorizer.adaptation.objectives.consistency import Consistency, JitterAlone
from nnunetv2_factorizer.adaptation.objectives.unlearning import CLGR, LNTL, TABE

OBJECTIVES: dict[str, type[Objective]] = {
    "consistency": Consistency,
    "lntl": LNTL,
    "tabe": TABE,
    "clgr": CLGR,
    "aiva": AIVA,
}

__all__ = ["AIVA", "CLGR", "LNTL", "OBJECTIVES", "TABE", "Consistency", "JitterAlone", "Objective", "RandomMatching"]
