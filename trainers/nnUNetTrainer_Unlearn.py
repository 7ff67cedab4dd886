"""The architecture that the plans name, trained with Muon not to know the site, or another column of the metadata."""

from nnunetv2_factorizer.adaptation.objectives import CLGR, LNTL, TABE
from nnunetv2_factorizer.adaptation.with_objective import WithObjective
from nnunetv2_factorizer.training import MuonRecipe


class nnUNetTrainer_Unlearn(WithObjective, MuonRecipe):
    """250 epochs; the network comes from the plans, the method from the subclass, the column from the method."""


class nnUNetTrainer_UnlearnLNTL(nnUNetTrainer_Unlearn):
    objective = LNTL


class nnUNetTrainer_UnlearnTABE(nnUNetTrainer_Unlearn):
    objective = TABE


class nnUNetTrainer_UnlearnCLGR(nnUNetTrainer_Unlearn):
    objective = CLGR
