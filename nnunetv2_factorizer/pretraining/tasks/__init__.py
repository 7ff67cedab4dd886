"""Pre-training tasks, one a file."""

from nnunetv2_factorizer.pretraining.tasks.masked import MaskedReconstruction, SimMIM
from nnunetv2_factorizer.pretraining.tasks.popar import POPAR, POPARAppearance, POPAROrder

__all__ = ["POPAR", "MaskedReconstruction", "POPARAppearance", "POPAROrder", "SimMIM"]
