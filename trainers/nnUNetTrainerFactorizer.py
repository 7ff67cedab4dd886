"""The architecture that the plans name, trained as the paper trains a Factorizer."""

from nnunetv2_factorizer.training import FactorizerRecipe


class nnUNetTrainerFactorizer(FactorizerRecipe):
    """400 epochs with AdamW; the network comes from the plans."""


class nnUNetTrainerFactorizer_5epochs(nnUNetTrainerFactorizer):
    epochs = 5


class nnUNetTrainerFactorizer_100epochs(nnUNetTrainerFactorizer):
    epochs = 100


class nnUNetTrainerFactorizer_250epochs(nnUNetTrainerFactorizer):
    epochs = 250


class nnUNetTrainerFactorizer_1000epochs(nnUNetTrainerFactorizer):
    epochs = 1000
