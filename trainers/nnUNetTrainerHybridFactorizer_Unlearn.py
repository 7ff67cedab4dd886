"""Hybrid Factorizer for any plans, trained with Muon not to know the site, or another column of the metadata."""

from nnunetv2_factorizer.adaptation.objectives import CLGR, LNTL, TABE
from nnunetv2_factorizer.adaptation.with_objective import WithObjective
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe


class nnUNetTrainerHybridFactorizer_Unlearn(WithObjective, FamilyTrainer, MuonRecipe):
    """250 epochs; the method comes from the subclass, the column from the method."""

    family = FACTORIZER
    choices = FACTORIZER.variants["Hybrid"]


class nnUNetTrainerHybridFactorizer_UnlearnLNTL(nnUNetTrainerHybridFactorizer_Unlearn):
    objective = LNTL


class nnUNetTrainerHybridFactorizer_UnlearnTABE(nnUNetTrainerHybridFactorizer_Unlearn):
    objective = TABE


class nnUNetTrainerHybridFactorizer_UnlearnCLGR(nnUNetTrainerHybridFactorizer_Unlearn):
    objective = CLGR
