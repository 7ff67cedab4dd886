"""Hybrid Factorizer for any plans, adapted to a few labelled cases of a new scanner with Muon."""

from nnunetv2_factorizer.adaptation.methods import L2SP, MMTL, OCTL, All, FirstLayers, Momentum
from nnunetv2_factorizer.adaptation.trainer import Adapting
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe


class nnUNetTrainerHybridFactorizer_Adapt(Adapting, FamilyTrainer, MuonRecipe):
    """50 epochs; the method comes from the subclass."""

    family = FACTORIZER
    choices = FACTORIZER.variants["Hybrid"]


class nnUNetTrainerHybridFactorizer_AdaptAll(nnUNetTrainerHybridFactorizer_Adapt):
    method = All


class nnUNetTrainerHybridFactorizer_AdaptAll_5epochs(nnUNetTrainerHybridFactorizer_AdaptAll):
    num_epochs = 5


class nnUNetTrainerHybridFactorizer_AdaptAll_20epochs(nnUNetTrainerHybridFactorizer_AdaptAll):
    num_epochs = 20


class nnUNetTrainerHybridFactorizer_AdaptFirstLayers(nnUNetTrainerHybridFactorizer_Adapt):
    method = FirstLayers


class nnUNetTrainerHybridFactorizer_AdaptL2SP(nnUNetTrainerHybridFactorizer_Adapt):
    method = L2SP


class nnUNetTrainerHybridFactorizer_AdaptMMTL(nnUNetTrainerHybridFactorizer_Adapt):
    method = MMTL


class nnUNetTrainerHybridFactorizer_AdaptMMTL_5epochs(nnUNetTrainerHybridFactorizer_AdaptMMTL):
    num_epochs = 5


class nnUNetTrainerHybridFactorizer_AdaptMMTL_20epochs(nnUNetTrainerHybridFactorizer_AdaptMMTL):
    num_epochs = 20


class nnUNetTrainerHybridFactorizer_AdaptOCTL(nnUNetTrainerHybridFactorizer_Adapt):
    method = OCTL


class nnUNetTrainerHybridFactorizer_AdaptMomentum(nnUNetTrainerHybridFactorizer_Adapt):
    method = Momentum
