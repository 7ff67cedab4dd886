"""Pre-training tasks, one a file."""

from nnunetv2_factorizer.pretraining.tasks.masked import MaskedReconstruction, SimMIM
from nnunetv2_factorizer.pretraining.tasks.united import (
    United,
    UnitedD,
    UnitedDR,
    UnitedJoint,
    UnitedRotation,
    UnitedRubik,
)

__all__ = [
    "MaskedReconstruction",
    "SimMIM",
    "United",
    "UnitedD",
    "UnitedDR",
    "UnitedJoint",
    "UnitedRotation",
    "UnitedRubik",
]
