"""Stages of as many epochs of 50 iterations as the variable says, always the same ones."""

import os
from typing import Any

import torch

from benchmarks.learning.training import Measured
from nnunetv2_factorizer.trainers.nnUNetTrainer_Lifelong import (
    nnUNetTrainer_LifelongEWC,
    nnUNetTrainer_LifelongJoint,
    nnUNetTrainer_LifelongLwF,
    nnUNetTrainer_LifelongODEx,
    nnUNetTrainer_LifelongRehearsal,
    nnUNetTrainer_LifelongSequential,
)


class Bench(Measured):
    num_epochs = int(os.environ.get("BENCH_EPOCHS", "5"))
    seed = int(os.environ.get("BENCH_SEED", "0"))

    def initialize(self) -> None:
        torch.manual_seed(self.seed)
        torch.set_num_threads(1)  # several arms share the machine
        super().initialize()

    def perform_actual_validation(self, *_: Any, **__: Any) -> None:
        """The pool measures held-out cases of all stages."""


class nnUNetTrainerBench_LifelongODEx(Bench, nnUNetTrainer_LifelongODEx): ...


class nnUNetTrainerBench_LifelongSequential(Bench, nnUNetTrainer_LifelongSequential): ...


class nnUNetTrainerBench_LifelongJoint(Bench, nnUNetTrainer_LifelongJoint): ...


class nnUNetTrainerBench_LifelongEWC(Bench, nnUNetTrainer_LifelongEWC): ...


class nnUNetTrainerBench_LifelongLwF(Bench, nnUNetTrainer_LifelongLwF): ...


class nnUNetTrainerBench_LifelongRehearsal(Bench, nnUNetTrainer_LifelongRehearsal): ...
