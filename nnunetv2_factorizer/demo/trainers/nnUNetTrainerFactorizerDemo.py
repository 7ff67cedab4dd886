"""A training of a few minutes on a CPU."""

from nnunetv2_factorizer.trainers.nnUNetTrainerHybridFactorizer import nnUNetTrainerHybridFactorizer


class nnUNetTrainerFactorizerDemo(nnUNetTrainerHybridFactorizer):
    """The Hybrid Factorizer for 240 iterations."""

    num_epochs = 8
    num_iterations_per_epoch = 30
    num_val_iterations_per_epoch = 3
