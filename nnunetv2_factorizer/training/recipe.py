"""How the paper trains a Factorizer, in the hooks of nnU-Net's trainer.

Optimiser, schedule, length and loss weights are the paper's; the loss itself, augmentation, sampling
and validation stay nnU-Net's. Faults stop the training with their cause and remedy; see `docs/faults.md`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch._dynamo import OptimizedModule
from torch.nn import Module
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW

from nnunetv2_factorizer.training.atomic import replacing
from nnunetv2_factorizer.training.checkpoint import RECORD, check_fit, check_version, make_record, read_checkpoint
from nnunetv2_factorizer.training.finite import explain_non_finite, refuse_non_finite
from nnunetv2_factorizer.training.remedies import check_dataset, explain_out_of_memory, explain_plans, is_of_gpu
from nnunetv2_factorizer.training.schedule import WarmupCosineScheduler, peak_learning_rate

LOSS_WEIGHTS = (1.0, 0.5, 0.25)
"""Of the three highest resolutions."""


class FactorizerRecipe(nnUNetTrainer):
    """A trainer, and a mix-in: put first among the bases, it brings the recipe to any other nnU-Net trainer."""

    epochs = 400
    """Of 250 iterations: the paper's 100,000 steps."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = self.epochs
        self.weight_decay = 1e-2

    def configure_optimizers(self) -> tuple[AdamW, WarmupCosineScheduler]:
        self.initial_lr = peak_learning_rate(self.num_epochs * self.num_iterations_per_epoch)
        optimizer = AdamW(self.network.parameters(), lr=self.initial_lr, weight_decay=self.weight_decay)
        return optimizer, WarmupCosineScheduler(optimizer, self.num_epochs, self.num_iterations_per_epoch)

    def architecture(self) -> dict[str, Any]:
        """Class and arguments of the network, as a configuration of the plans holds them."""
        configuration = self.configuration_manager
        return {
            "network_class_name": configuration.network_arch_class_name,
            "arch_kwargs": configuration.network_arch_init_kwargs,
        }

    def initialize(self) -> None:
        check_dataset(self)
        try:
            super().initialize()
        except (TypeError, ValueError) as error:
            raise ValueError(explain_plans(error, self)) from error

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        iteration = self.lr_scheduler.current_step - self.current_epoch * self.num_iterations_per_epoch
        with self._faults_explained(batch, f"epoch {self.current_epoch}, iteration {iteration}"):
            result = super().train_step(batch)
        self.lr_scheduler.step_iteration()
        return result

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        with self._faults_explained(batch, f"the validation of epoch {self.current_epoch}"):
            return super().validation_step(batch)

    def save_checkpoint(self, filename: str) -> None:
        self.my_init_kwargs[RECORD] = make_record(self.architecture())
        try:
            with replacing(filename) as unfinished:
                super().save_checkpoint(unfinished)
        except (OSError, RuntimeError) as error:  # PyTorch's word for a full disk is a RuntimeError.
            if is_of_gpu(error):
                raise
            reason = str(error).partition("\n")[0]
            raise OSError(
                f"{filename} could not be written ({reason}).\n"
                "An earlier checkpoint of this name is untouched. Make room on the disk; --c continues from the last."
            ) from error

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        """As nnU-Net, which unpickles the file, once it is known to hold plain values that fit the network."""
        if not self.was_initialized:
            self.initialize()
        if isinstance(filename_or_checkpoint, str):
            checkpoint = read_checkpoint(filename_or_checkpoint)
            check_version(checkpoint, filename_or_checkpoint)
            check_fit(checkpoint, filename_or_checkpoint, self._bare_network(), self.architecture())
        super().load_checkpoint(filename_or_checkpoint)

    def _build_loss(self) -> Module:
        loss = super()._build_loss()
        loss.register_forward_hook(refuse_non_finite)
        if self.enable_deep_supervision:
            # A head without a loss would be an unused parameter, which data-parallel training refuses.
            unused = 1e-6 if self.is_ddp else 0.0
            loss.weight_factors = tuple(
                LOSS_WEIGHTS[i] if i < len(LOSS_WEIGHTS) else unused for i in range(len(loss.weight_factors))
            )
        return loss

    def _bare_network(self) -> Module:
        network = self.network.module if isinstance(self.network, DistributedDataParallel) else self.network
        return network._orig_mod if isinstance(network, OptimizedModule) else network

    @contextmanager
    def _faults_explained(self, batch: dict[str, Any], when: str) -> Iterator[None]:
        try:
            yield
        except FloatingPointError as error:
            raise FloatingPointError(explain_non_finite(error, self._bare_network(), batch, when)) from None
        except torch.OutOfMemoryError as error:
            raise torch.OutOfMemoryError(explain_out_of_memory(error, self, self.architecture(), when)) from error
