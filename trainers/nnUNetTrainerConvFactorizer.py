"""Conv Factorizer for any plans: shifted windows, and a depthwise convolution before each block (ours)."""

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import FactorizerTrainer


class nnUNetTrainerConvFactorizer(FactorizerTrainer):
    choices = FACTORIZER.variants["Conv"]


class nnUNetTrainerConvFactorizer_5epochs(nnUNetTrainerConvFactorizer):
    num_epochs = 5


class nnUNetTrainerConvFactorizer_100epochs(nnUNetTrainerConvFactorizer):
    num_epochs = 100


class nnUNetTrainerConvFactorizer_250epochs(nnUNetTrainerConvFactorizer):
    num_epochs = 250


class nnUNetTrainerConvFactorizer_1000epochs(nnUNetTrainerConvFactorizer):
    num_epochs = 1000
