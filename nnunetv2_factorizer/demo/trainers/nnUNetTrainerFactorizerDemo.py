"""A training of a few minutes on a CPU."""

from nnunetv2_factorizer.trainers.nnUNetTrainerConvFactorizer import nnUNetTrainerConvFactorizer


class nnUNetTrainerFactorizerDemo(nnUNetTrainerConvFactorizer):
    """The Conv Factorizer for 240 iterations."""

    num_epochs = 8
    num_iterations_per_epoch = 30
    num_val_iterations_per_epoch = 3
