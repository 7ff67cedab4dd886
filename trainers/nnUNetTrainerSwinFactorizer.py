"""Swin Factorizer for any plans: windows on two shifted grids."""

from nnunetv2_factorizer.network.variants import VARIANTS
from nnunetv2_factorizer.training import AnyPlansFactorizerTrainer


class nnUNetTrainerSwinFactorizer(AnyPlansFactorizerTrainer):
    choices = VARIANTS["Swin"]


class nnUNetTrainerSwinFactorizer_5epochs(nnUNetTrainerSwinFactorizer):
    epochs = 5


class nnUNetTrainerSwinFactorizer_100epochs(nnUNetTrainerSwinFactorizer):
    epochs = 100


class nnUNetTrainerSwinFactorizer_250epochs(nnUNetTrainerSwinFactorizer):
    epochs = 250


class nnUNetTrainerSwinFactorizer_1000epochs(nnUNetTrainerSwinFactorizer):
    epochs = 1000
