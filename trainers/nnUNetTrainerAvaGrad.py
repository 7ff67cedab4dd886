"""The architecture that the plans name, nnU-Net's own for example, trained with AvaGrad for few epochs."""

from nnunetv2_factorizer.training import AvaGradRecipe, Guard


class nnUNetTrainerAvaGrad(Guard, AvaGradRecipe):
    """50 epochs, as in the paper; the network comes from the plans."""


class nnUNetTrainerAvaGrad_5epochs(nnUNetTrainerAvaGrad):
    num_epochs = 5


class nnUNetTrainerAvaGrad_25epochs(nnUNetTrainerAvaGrad):
    num_epochs = 25


class nnUNetTrainerAvaGrad_50epochs(nnUNetTrainerAvaGrad):
    num_epochs = 50


class nnUNetTrainerAvaGrad_100epochs(nnUNetTrainerAvaGrad):
    num_epochs = 100


class nnUNetTrainerAvaGrad_1000epochs(nnUNetTrainerAvaGrad):
    num_epochs = 1000
