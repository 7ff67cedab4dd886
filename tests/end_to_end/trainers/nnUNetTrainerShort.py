"""Trainers of two epochs with two iterations, the same every time, for `nnUNet_extTrainer`."""

import os
import random
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_factorizer.adaptation.methods import MMTL
from nnunetv2_factorizer.adaptation.trainer import Adapting
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.trainers.nnUNetTrainer_CateNorm import nnUNetTrainer_CateNorm
from nnunetv2_factorizer.trainers.nnUNetTrainer_CleanLabels import nnUNetTrainer_CleanLabelsIgnore
from nnunetv2_factorizer.trainers.nnUNetTrainer_Consistency import nnUNetTrainer_Consistency
from nnunetv2_factorizer.trainers.nnUNetTrainer_Lifelong import nnUNetTrainer_LifelongODEx
from nnunetv2_factorizer.trainers.nnUNetTrainer_PretrainMAE import nnUNetTrainer_PretrainMAE
from nnunetv2_factorizer.trainers.nnUNetTrainer_PretrainPOPAR import nnUNetTrainer_PretrainPOPAR
from nnunetv2_factorizer.trainers.nnUNetTrainerConvFactorizer import nnUNetTrainerConvFactorizer
from nnunetv2_factorizer.trainers.nnUNetTrainerFactorizer import nnUNetTrainerFactorizer
from nnunetv2_factorizer.trainers.nnUNetTrainerGlobalFactorizer import nnUNetTrainerGlobalFactorizer
from nnunetv2_factorizer.trainers.nnUNetTrainerLocalFactorizer import nnUNetTrainerLocalFactorizer
from nnunetv2_factorizer.trainers.nnUNetTrainerMuon import nnUNetTrainerMuon
from nnunetv2_factorizer.trainers.nnUNetTrainerSwinFactorizer import nnUNetTrainerSwinFactorizer
from nnunetv2_factorizer.trainers.nnUNetTrainerSwinFactorizer_Finetune import nnUNetTrainerSwinFactorizer_Finetune
from nnunetv2_factorizer.training import FactorizerTrainer


class Short(nnUNetTrainer):
    """A mix-in. With `STOP_AFTER_EPOCHS` in the environment the process ends there, as if it were killed.

    What an epoch draws depends on its number alone, so that an interrupted training can be compared with one that was
    not. `checkpoint_start.pth` has what the first step starts from. `SKIP_VALIDATION` saves the time of the final one.
    """

    def __init__(self, plans: Any, configuration: str, fold: int, dataset_json: Any, device: Any) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 2
        self.num_iterations_per_epoch = 2
        self.num_val_iterations_per_epoch = 1
        self.save_every = 1
        self.logger.plot_progress_png = lambda folder: None  # two seconds each
        torch.set_num_threads(1)  # nnU-Net takes all cores, and these sizes only lose time to that
        seed(1000)

    def initialize(self) -> None:
        super().initialize()
        with torch.no_grad():  # so that four iterations are enough for predictions of every class
            for head in self.network.decoder.seg_layers:
                head.weight.mul_(10)

    def on_train_start(self) -> None:
        super().on_train_start()
        self.save_checkpoint(f"{self.output_folder}/checkpoint_start.pth")

    def on_train_epoch_start(self) -> None:
        seed(self.current_epoch)
        super().on_train_epoch_start()

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        if os.environ.get("STOP_AFTER_EPOCHS") == str(self.current_epoch):
            os._exit(3)

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        if "SKIP_VALIDATION" not in os.environ:
            super().perform_actual_validation(save_probabilities)


def seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


class nnUNetTrainerShort(Short): ...


class nnUNetTrainerShortFactorizer(Short, nnUNetTrainerFactorizer): ...


class nnUNetTrainerShortSwinFactorizer(Short, nnUNetTrainerSwinFactorizer): ...


class nnUNetTrainerShortConvFactorizer(Short, nnUNetTrainerConvFactorizer): ...


class nnUNetTrainerShortLocalFactorizer(Short, nnUNetTrainerLocalFactorizer): ...


class nnUNetTrainerShortGlobalFactorizer(Short, nnUNetTrainerGlobalFactorizer): ...


class nnUNetTrainerShortMuon(Short, nnUNetTrainerMuon): ...


class nnUNetTrainerShort_Consistency(Short, nnUNetTrainer_Consistency): ...


class nnUNetTrainerShort_PretrainMAE(Short, nnUNetTrainer_PretrainMAE): ...


class nnUNetTrainerShort_PretrainPOPAR(Short, nnUNetTrainer_PretrainPOPAR): ...


class nnUNetTrainerShortSwinFactorizer_Finetune(Short, nnUNetTrainerSwinFactorizer_Finetune):
    freeze = 1


class nnUNetTrainerShortSwinFactorizer_AdaptMMTL(Short, Adapting, FactorizerTrainer):
    method = MMTL
    choices = FACTORIZER.variants["Swin"]


class nnUNetTrainerShort_CleanLabelsIgnore(Short, nnUNetTrainer_CleanLabelsIgnore):
    """Four iterations are not sure of anything, and no curve has flattened."""

    tau, every = 0.34, 1

    def starts(self, overlaps: list[float]) -> bool:
        return True


class nnUNetTrainerShort_CateNorm(Short, nnUNetTrainer_CateNorm):
    plain_share = 0.5


class nnUNetTrainerShort_LifelongODEx(Short, nnUNetTrainer_LifelongODEx):
    def initialize(self) -> None:
        super().initialize()
        if "nnUNet_pretrained_checkpoint" in os.environ:
            with torch.no_grad():  # a later stage: the first one has made them large already
                for head in self.network.decoder.seg_layers:
                    head.weight.div_(10)
