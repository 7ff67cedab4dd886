"""Swin Factorizer for any plans: windows on two shifted grids."""

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import FactorizerTrainer


class nnUNetTrainerSwinFactorizer(FactorizerTrainer):
    choices = FACTORIZER.variants["Swin"]


class nnUNetTrainerSwinFactorizer_5epochs(nnUNetTrainerSwinFactorizer):
    num_epochs = 5


class nnUNetTrainerSwinFactorizer_100epochs(nnUNetTrainerSwinFactorizer):
    num_epochs = 100


class nnUNetTrainerSwinFactorizer_250epochs(nnUNetTrainerSwinFactorizer):
    num_epochs = 250


class nnUNetTrainerSwinFactorizer_1000epochs(nnUNetTrainerSwinFactorizer):
    num_epochs = 1000
