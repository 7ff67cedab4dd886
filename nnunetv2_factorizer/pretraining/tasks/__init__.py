"""Pre-training tasks, one a file."""

from nnunetv2_factorizer.pretraining.tasks.comparative import Comparative
from nnunetv2_factorizer.pretraining.tasks.contrastive import Contrastive
from nnunetv2_factorizer.pretraining.tasks.masked import MaskedReconstruction, SimMIM

__all__ = ["Comparative", "Contrastive", "MaskedReconstruction", "SimMIM"]
