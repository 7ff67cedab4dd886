"""The recipe of the Factorizer's paper (Ashtari et al., Medical Image Analysis 84, 2023): AdamW, warm-up, cosine."""

from typing import ClassVar

from torch.optim import AdamW, Optimizer

from nnunetv2_factorizer.training.recipe import Recipe
from nnunetv2_factorizer.training.schedule import ByIteration, peak_learning_rate, warmup_cosine


class PaperRecipe(Recipe):
    """100,000 steps at 1e-4, losses at three resolutions; shorter trainings take larger steps (ours)."""

    num_epochs = 400
    initial_lr = None  # follows the length, once that is known
    loss_weights: ClassVar[tuple[float, ...] | None] = (1.0, 0.5, 0.25)

    def make_optimizer(self, lr: float) -> Optimizer:
        return AdamW(self.network.parameters(), lr=lr, weight_decay=self.weight_decay)

    def multiplier(self, step: int) -> float:
        return warmup_cosine(step, self.total_steps)

    def configure_optimizers(self) -> tuple[Optimizer, ByIteration]:
        if self.initial_lr is None:
            self.initial_lr = peak_learning_rate(self.total_steps)
        return super().configure_optimizers()
