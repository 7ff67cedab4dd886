"""Local Factorizer for any plans: windows on one grid."""

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import FactorizerTrainer


class nnUNetTrainerLocalFactorizer(FactorizerTrainer):
    choices = FACTORIZER.variants["Local"]


class nnUNetTrainerLocalFactorizer_5epochs(nnUNetTrainerLocalFactorizer):
    num_epochs = 5


class nnUNetTrainerLocalFactorizer_100epochs(nnUNetTrainerLocalFactorizer):
    num_epochs = 100


class nnUNetTrainerLocalFactorizer_250epochs(nnUNetTrainerLocalFactorizer):
    num_epochs = 250


class nnUNetTrainerLocalFactorizer_1000epochs(nnUNetTrainerLocalFactorizer):
    num_epochs = 1000
