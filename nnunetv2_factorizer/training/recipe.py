"""How the paper trains a Factorizer, in the hooks of nnU-Net's trainer.

Optimiser, schedule, length and loss weights are the paper's; the loss itself, augmentation, sampling
and validation stay nnU-Net's.
"""

from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch.nn import Module
from torch.optim import AdamW

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

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        result = super().train_step(batch)
        self.lr_scheduler.step_iteration()
        return result

    def _build_loss(self) -> Module:
        loss = super()._build_loss()
        if self.enable_deep_supervision:
            # A head without a loss would be an unused parameter, which data-parallel training refuses.
            unused = 1e-6 if self.is_ddp else 0.0
            loss.weight_factors = tuple(
                LOSS_WEIGHTS[i] if i < len(LOSS_WEIGHTS) else unused for i in range(len(loss.weight_factors))
            )
        return loss
