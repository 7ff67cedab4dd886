"""Hybrid Factorizer for any plans with norms that know the mask of a first pass (CateNorm), trained with Muon."""

from nnunetv2_factorizer.adaptation.catenorm.trainer import CateNorm
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe


class nnUNetTrainerHybridFactorizer_CateNorm(CateNorm, FamilyTrainer, MuonRecipe):
    """250 epochs; two updates an iteration."""

    family = FACTORIZER
    choices = FACTORIZER.variants["Hybrid"]


class nnUNetTrainerHybridFactorizer_CateNorm_50epochs(nnUNetTrainerHybridFactorizer_CateNorm):
    num_epochs = 50
