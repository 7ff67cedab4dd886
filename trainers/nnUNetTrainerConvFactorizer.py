"""Conv Factorizer for any plans: shifted windows, and a depthwise convolution before each block (ours)."""

from nnunetv2_factorizer.network.variants import VARIANTS
from nnunetv2_factorizer.training import AnyPlansFactorizerTrainer


class nnUNetTrainerConvFactorizer(AnyPlansFactorizerTrainer):
    choices = VARIANTS["Conv"]


class nnUNetTrainerConvFactorizer_5epochs(nnUNetTrainerConvFactorizer):
    epochs = 5


class nnUNetTrainerConvFactorizer_100epochs(nnUNetTrainerConvFactorizer):
    epochs = 100


class nnUNetTrainerConvFactorizer_250epochs(nnUNetTrainerConvFactorizer):
    epochs = 250


class nnUNetTrainerConvFactorizer_1000epochs(nnUNetTrainerConvFactorizer):
    epochs = 1000
