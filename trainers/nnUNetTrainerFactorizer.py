"""The architecture that the plans name, trained as the paper trains a Factorizer."""

from nnunetv2_factorizer.training import Guard, PaperRecipe


class nnUNetTrainerFactorizer(Guard, PaperRecipe):
    """400 epochs with AdamW; the network comes from the plans."""


class nnUNetTrainerFactorizer_5epochs(nnUNetTrainerFactorizer):
    num_epochs = 5


class nnUNetTrainerFactorizer_100epochs(nnUNetTrainerFactorizer):
    num_epochs = 100


class nnUNetTrainerFactorizer_250epochs(nnUNetTrainerFactorizer):
    num_epochs = 250


class nnUNetTrainerFactorizer_1000epochs(nnUNetTrainerFactorizer):
    num_epochs = 1000
