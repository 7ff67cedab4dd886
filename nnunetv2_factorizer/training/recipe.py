"""How a network is trained: optimiser, schedule, length and loss weights, in the hooks of nnU-Net's trainer.

The values are those that the paper trains a Factorizer with. The loss itself, augmentation, sampling and validation
stay nnU-Net's.
"""

from typing import Any, ClassVar

from torch.nn import Module
from torch.optim import AdamW, Optimizer

from nnunetv2_factorizer.training.attributes import ClassAttributes
from nnunetv2_factorizer.training.schedule import ByIteration, peak_learning_rate, warmup_cosine


class Recipe(ClassAttributes):
    """A mix-in: put before another nnU-Net trainer among the bases, it brings its recipe along.

    Another recipe overrides the attributes of this class, or `make_optimizer`, `peak` and `multiplier`.
    """

    num_epochs: int = 400
    """Of 250 iterations: the paper's 100,000 steps."""
    initial_lr: float | None = None
    """The largest learning rate of the schedule; None: `peak`, which follows the length."""
    weight_decay: float = 1e-2
    loss_weights: ClassVar[tuple[float, ...]] = (1.0, 0.5, 0.25)
    """Of the outputs with deep supervision, highest resolution first; the others count nothing."""

    @property
    def total_steps(self) -> int:
        """Iterations of the whole training."""
        return self.num_epochs * self.num_iterations_per_epoch

    def make_optimizer(self, lr: float) -> Optimizer:
        """The optimiser of `self.network`; groups of parameters may have other learning rates than `lr`."""
        return AdamW(self.network.parameters(), lr=lr, weight_decay=self.weight_decay)

    def peak(self) -> float:
        """The largest learning rate where `initial_lr` is None."""
        return peak_learning_rate(self.total_steps)

    def multiplier(self, step: int) -> float:
        """What all learning rates are multiplied with in iteration `step`, counted from 0."""
        return warmup_cosine(step, self.total_steps)

    def configure_optimizers(self) -> tuple[Optimizer, ByIteration]:
        if self.initial_lr is None:
            self.initial_lr = self.peak()
        optimizer = self.make_optimizer(self.initial_lr)
        return optimizer, ByIteration(optimizer, self.multiplier, self.num_iterations_per_epoch)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        result = super().train_step(batch)
        if isinstance(self.lr_scheduler, ByIteration):  # and not one of a trainer with its own configure_optimizers
            self.lr_scheduler.step()
        return result

    def _build_loss(self) -> Module:
        loss = super()._build_loss()
        if self.enable_deep_supervision:
            # A head without a loss would be an unused parameter, which data-parallel training refuses.
            unused = 1e-6 if self.is_ddp else 0.0
            number = len(loss.weight_factors)
            weights = [*self.loss_weights[:number], *[unused] * (number - len(self.loss_weights))]
            loss.weight_factors = tuple(weights)
        return loss
