"""Hybrid Factorizer for any plans: dense convolutions at the highest resolutions, factorization below (ours). Muon."""

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe


class nnUNetTrainerHybridFactorizer(FamilyTrainer, MuonRecipe):
    family = FACTORIZER
    choices = FACTORIZER.variants["Hybrid"]


class nnUNetTrainerHybridFactorizer_5epochs(nnUNetTrainerHybridFactorizer):
    num_epochs = 5


class nnUNetTrainerHybridFactorizer_20epochs(nnUNetTrainerHybridFactorizer):
    num_epochs = 20


class nnUNetTrainerHybridFactorizer_50epochs(nnUNetTrainerHybridFactorizer):
    num_epochs = 50


class nnUNetTrainerHybridFactorizer_100epochs(nnUNetTrainerHybridFactorizer):
    num_epochs = 100


class nnUNetTrainerHybridFactorizer_1000epochs(nnUNetTrainerHybridFactorizer):
    num_epochs = 1000
