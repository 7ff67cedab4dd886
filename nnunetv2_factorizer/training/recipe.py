"""How a network is trained: optimiser, schedule, length and loss weights, in the hooks of nnU-Net's trainer.

The loss itself, augmentation, sampling and validation stay nnU-Net's. Recipes are in `training/recipes`, one a file.
"""

from typing import Any, ClassVar

from torch.nn import Module
from torch.optim import Optimizer

from nnunetv2_factorizer.training.attributes import ClassAttributes
from nnunetv2_factorizer.training.schedule import ByIteration, warmup_cosine


class Recipe(ClassAttributes):
    """A mix-in: put before another nnU-Net trainer among the bases, it brings its recipe along.

    A recipe defines `make_optimizer` and sets `initial_lr`; the rest are defaults. `ClassAttributes` suffices as a base
    for one whose schedule does not go by iterations.
    """

    initial_lr: float | None
    """The largest learning rate of the schedule."""
    weight_decay: float = 1e-2
    warmup: float = 0.1
    """Share of the iterations."""
    loss_weights: ClassVar[tuple[float, ...] | None] = None
    """Of the outputs with deep supervision, highest resolution first; the others count nothing. None: nnU-Net's."""

    @property
    def total_steps(self) -> int:
        """Iterations of the whole training."""
        return self.num_epochs * self.num_iterations_per_epoch

    def make_optimizer(self, lr: float) -> Optimizer:
        """The optimiser of `self.network`; groups of parameters may have other learning rates than `lr`."""
        raise NotImplementedError(f"{type(self).__name__} needs a make_optimizer(lr), or a recipe that has one.")

    def multiplier(self, step: int) -> float:
        """What all learning rates are multiplied with in iteration `step`, counted from 0."""
        return warmup_cosine(step, self.total_steps, round(self.warmup * self.total_steps))

    def configure_optimizers(self) -> tuple[Optimizer, ByIteration]:
        assert self.initial_lr is not None
        optimizer = self.make_optimizer(self.initial_lr)
        return optimizer, ByIteration(optimizer, self.multiplier, self.num_iterations_per_epoch)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        result = super().train_step(batch)
        if isinstance(self.lr_scheduler, ByIteration):  # and not one of a trainer with its own configure_optimizers
            self.lr_scheduler.step()
        return result

    def _build_loss(self) -> Module:
        loss = super()._build_loss()
        if self.enable_deep_supervision and self.loss_weights is not None:
            # A head without a loss would be an unused parameter, which data-parallel training refuses.
            unused = 1e-6 if self.is_ddp else 0.0
            number = len(loss.weight_factors)
            weights = [*self.loss_weights[:number], *[unused] * (number - len(self.loss_weights))]
            loss.weight_factors = tuple(weights)
        return loss
