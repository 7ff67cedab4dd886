"""AvaGrad for few epochs (Sheikh, Klasen, Schultz, DART 2022), meant for models that will meet other scanners."""

from typing import Any

import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from torch.optim import Optimizer

from nnunetv2_factorizer.training.attributes import ClassAttributes
from nnunetv2_factorizer.training.optimizers.avagrad import AvaGrad

CLIPPED_TO = 12
"""The norm of all gradients that nnU-Net's `train_step` allows."""


class AvaGradRecipe(ClassAttributes):
    """50 epochs at a learning rate of 10; schedule, weight decay, clipping and losses are nnU-Net's.

    The paper says nothing of weight decay, of clipping, nor of the schedule of the shortened training. Clipping changes
    both moments of AvaGrad, so the log says after each epoch how often it happened.
    """

    num_epochs = 50
    initial_lr = 10.0
    eps: float = 0.1
    _clipped: list[bool]

    def configure_optimizers(self) -> tuple[Optimizer, PolyLRScheduler]:
        optimizer = AvaGrad(self.network.parameters(), self.initial_lr, eps=self.eps, weight_decay=self.weight_decay)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self._clipped = []

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        result = super().train_step(batch)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.network.parameters() if p.grad is not None])
        self._clipped.append(bool(norm > 0.999 * CLIPPED_TO))  # gradients are still those that made the step
        return result

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        share = sum(self._clipped) / len(self._clipped)
        self.print_to_log_file(f"gradients clipped in {share:.0%} of the iterations")
