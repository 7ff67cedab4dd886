"""Global Factorizer for any plans: one matrix a head over the whole patch."""

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import FactorizerTrainer


class nnUNetTrainerGlobalFactorizer(FactorizerTrainer):
    choices = FACTORIZER.variants["Global"]


class nnUNetTrainerGlobalFactorizer_5epochs(nnUNetTrainerGlobalFactorizer):
    num_epochs = 5


class nnUNetTrainerGlobalFactorizer_100epochs(nnUNetTrainerGlobalFactorizer):
    num_epochs = 100


class nnUNetTrainerGlobalFactorizer_250epochs(nnUNetTrainerGlobalFactorizer):
    num_epochs = 250


class nnUNetTrainerGlobalFactorizer_1000epochs(nnUNetTrainerGlobalFactorizer):
    num_epochs = 1000
