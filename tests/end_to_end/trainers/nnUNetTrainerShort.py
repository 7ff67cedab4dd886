"""Trainers of two epochs with two iterations, for `nnUNet_extTrainer`."""

import os
from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_factorizer.trainers.nnUNetTrainerConvFactorizer import nnUNetTrainerConvFactorizer
from nnunetv2_factorizer.trainers.nnUNetTrainerFactorizer import nnUNetTrainerFactorizer
from nnunetv2_factorizer.trainers.nnUNetTrainerGlobalFactorizer import nnUNetTrainerGlobalFactorizer
from nnunetv2_factorizer.trainers.nnUNetTrainerSwinFactorizer import nnUNetTrainerSwinFactorizer


class Short(nnUNetTrainer):
    """A mix-in. With `STOP_AFTER_EPOCHS` in the environment the process ends there, as if it were killed."""

    def __init__(self, plans: Any, configuration: str, fold: int, dataset_json: Any, device: Any) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 2
        self.num_iterations_per_epoch = 2
        self.num_val_iterations_per_epoch = 1
        self.save_every = 1

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        if os.environ.get("STOP_AFTER_EPOCHS") == str(self.current_epoch):
            os._exit(3)


class nnUNetTrainerShort(Short): ...


class nnUNetTrainerShortFactorizer(Short, nnUNetTrainerFactorizer): ...


class nnUNetTrainerShortSwinFactorizer(Short, nnUNetTrainerSwinFactorizer): ...


class nnUNetTrainerShortConvFactorizer(Short, nnUNetTrainerConvFactorizer): ...


class nnUNetTrainerShortGlobalFactorizer(Short, nnUNetTrainerGlobalFactorizer): ...
