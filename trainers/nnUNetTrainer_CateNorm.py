"""The architecture that the plans name with norms that know the mask of a first pass (CateNorm), trained with Muon."""

from nnunetv2_factorizer.adaptation.catenorm.trainer import CateNorm
from nnunetv2_factorizer.training import MuonRecipe


class nnUNetTrainer_CateNorm(CateNorm, MuonRecipe):
    """250 epochs; two updates an iteration."""


class nnUNetTrainer_CateNorm_5epochs(nnUNetTrainer_CateNorm):
    num_epochs = 5


class nnUNetTrainer_CateNorm_50epochs(nnUNetTrainer_CateNorm):
    num_epochs = 50


class nnUNetTrainer_CateNormShuffled(nnUNetTrainer_CateNorm):
    """The control: a mask that tells the shares of the classes and not where they are."""

    mask = "shuffled"


class nnUNetTrainer_CateNormShuffled_50epochs(nnUNetTrainer_CateNormShuffled):
    num_epochs = 50


class nnUNetTrainer_CateNormOracle(nnUNetTrainer_CateNorm):
    """The upper bound in the log: the labels themselves are the mask."""

    mask = "true"


class nnUNetTrainer_CateNormOracle_50epochs(nnUNetTrainer_CateNormOracle):
    num_epochs = 50
