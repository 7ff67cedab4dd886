"""Global Factorizer for any plans: one matrix a head over the whole patch."""

from nnunetv2_factorizer.network.variants import VARIANTS
from nnunetv2_factorizer.training import AnyPlansFactorizerTrainer


class nnUNetTrainerGlobalFactorizer(AnyPlansFactorizerTrainer):
    choices = VARIANTS["Global"]


class nnUNetTrainerGlobalFactorizer_5epochs(nnUNetTrainerGlobalFactorizer):
    epochs = 5


class nnUNetTrainerGlobalFactorizer_100epochs(nnUNetTrainerGlobalFactorizer):
    epochs = 100


class nnUNetTrainerGlobalFactorizer_250epochs(nnUNetTrainerGlobalFactorizer):
    epochs = 250


class nnUNetTrainerGlobalFactorizer_1000epochs(nnUNetTrainerGlobalFactorizer):
    epochs = 1000
