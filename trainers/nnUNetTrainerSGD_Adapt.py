"""A model of nnU-Net's own trainer, adapted to a few labelled cases of a new scanner with nnU-Net's optimiser."""

from nnunetv2_factorizer.adaptation.methods import L2SP, MMTL, OCTL, All, FirstLayers, Momentum
from nnunetv2_factorizer.adaptation.trainer import Adapting
from nnunetv2_factorizer.training import SGDRecipe


class nnUNetTrainerSGD_Adapt(Adapting, SGDRecipe):
    """50 epochs; the network comes from the plans, the method from the subclass."""


class nnUNetTrainerSGD_AdaptAll(nnUNetTrainerSGD_Adapt):
    method = All


class nnUNetTrainerSGD_AdaptAll_5epochs(nnUNetTrainerSGD_AdaptAll):
    num_epochs = 5


class nnUNetTrainerSGD_AdaptAll_20epochs(nnUNetTrainerSGD_AdaptAll):
    num_epochs = 20


class nnUNetTrainerSGD_AdaptFirstLayers(nnUNetTrainerSGD_Adapt):
    method = FirstLayers


class nnUNetTrainerSGD_AdaptL2SP(nnUNetTrainerSGD_Adapt):
    method = L2SP


class nnUNetTrainerSGD_AdaptMMTL(nnUNetTrainerSGD_Adapt):
    method = MMTL


class nnUNetTrainerSGD_AdaptMMTL_5epochs(nnUNetTrainerSGD_AdaptMMTL):
    num_epochs = 5


class nnUNetTrainerSGD_AdaptMMTL_20epochs(nnUNetTrainerSGD_AdaptMMTL):
    num_epochs = 20


class nnUNetTrainerSGD_AdaptOCTL(nnUNetTrainerSGD_Adapt):
    method = OCTL


class nnUNetTrainerSGD_AdaptMomentum(nnUNetTrainerSGD_Adapt):
    method = Momentum
