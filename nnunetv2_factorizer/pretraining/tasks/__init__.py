"""Pre-training tasks, one a file."""

from nnunetv2_factorizer.pretraining.tasks.masked import MaskedReconstruction, SimMIM

__all__ = ["MaskedReconstruction", "SimMIM"]
