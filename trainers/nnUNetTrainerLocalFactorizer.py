"""Local Factorizer for any plans: windows on one grid."""

from nnunetv2_factorizer.network.variants import VARIANTS
from nnunetv2_factorizer.training import AnyPlansFactorizerTrainer


class nnUNetTrainerLocalFactorizer(AnyPlansFactorizerTrainer):
    choices = VARIANTS["Local"]


class nnUNetTrainerLocalFactorizer_5epochs(nnUNetTrainerLocalFactorizer):
    epochs = 5


class nnUNetTrainerLocalFactorizer_100epochs(nnUNetTrainerLocalFactorizer):
    epochs = 100


class nnUNetTrainerLocalFactorizer_250epochs(nnUNetTrainerLocalFactorizer):
    epochs = 250


class nnUNetTrainerLocalFactorizer_1000epochs(nnUNetTrainerLocalFactorizer):
    epochs = 1000
