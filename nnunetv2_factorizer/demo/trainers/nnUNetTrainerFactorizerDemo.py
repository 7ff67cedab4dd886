"""A training of a few minutes on a CPU."""

from typing import Any

from nnunetv2_factorizer.trainers.nnUNetTrainerConvFactorizer import nnUNetTrainerConvFactorizer


class nnUNetTrainerFactorizerDemo(nnUNetTrainerConvFactorizer):
    """The Conv Factorizer for 240 iterations."""

    epochs = 8

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.num_iterations_per_epoch = 30
        self.num_val_iterations_per_epoch = 3
