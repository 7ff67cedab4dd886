"""The architecture that the plans name, adapted to a few labelled cases of a new scanner with Muon."""

from nnunetv2_factorizer.adaptation.methods import L2SP, MMTL, OCTL, All, FirstLayers, Momentum
from nnunetv2_factorizer.adaptation.trainer import Adapting
from nnunetv2_factorizer.training import MuonRecipe


class nnUNetTrainer_Adapt(Adapting, MuonRecipe):
    """50 epochs; the network comes from the plans, the method from the subclass."""


class nnUNetTrainer_AdaptAll(nnUNetTrainer_Adapt):
    method = All


class nnUNetTrainer_AdaptAll_5epochs(nnUNetTrainer_AdaptAll):
    num_epochs = 5


class nnUNetTrainer_AdaptAll_20epochs(nnUNetTrainer_AdaptAll):
    num_epochs = 20


class nnUNetTrainer_AdaptFirstLayers(nnUNetTrainer_Adapt):
    method = FirstLayers


class nnUNetTrainer_AdaptL2SP(nnUNetTrainer_Adapt):
    method = L2SP


class nnUNetTrainer_AdaptMMTL(nnUNetTrainer_Adapt):
    method = MMTL


class nnUNetTrainer_AdaptMMTL_5epochs(nnUNetTrainer_AdaptMMTL):
    num_epochs = 5


class nnUNetTrainer_AdaptMMTL_20epochs(nnUNetTrainer_AdaptMMTL):
    num_epochs = 20


class nnUNetTrainer_AdaptOCTL(nnUNetTrainer_Adapt):
    method = OCTL


class nnUNetTrainer_AdaptMomentum(nnUNetTrainer_Adapt):
    method = Momentum
