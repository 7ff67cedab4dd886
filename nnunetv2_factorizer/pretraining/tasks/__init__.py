"""Pre-training tasks, one a file."""

from nnunetv2_factorizer.pretraining.tasks.comparative import Comparative
from nnunetv2_factorizer.pretraining.tasks.contrastive import Contrastive
from nnunetv2_factorizer.pretraining.tasks.masked import MaskedReconstruction, SimMIM
from nnunetv2_factorizer.pretraining.tasks.popar import POPAR, POPARAppearance, POPAROrder
from nnunetv2_factorizer.pretraining.tasks.united import (
    United,
    UnitedD,
    UnitedDR,
    UnitedJoint,
    UnitedRotation,
    UnitedRubik,
)

__all__ = [
    "POPAR",
    "Comparative",
    "Contrastive",
    "MaskedReconstruction",
    "POPARAppearance",
    "POPAROrder",
    "SimMIM",
    "United",
    "UnitedD",
    "UnitedDR",
    "UnitedJoint",
    "UnitedRotation",
    "UnitedRubik",
]
