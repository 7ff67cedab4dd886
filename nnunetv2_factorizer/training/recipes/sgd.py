"""nnU-Net's SGD under a schedule that goes by iterations, as fine-tuning needs it (ours)."""

from torch.optim import SGD, Optimizer

from nnunetv2_factorizer.training.recipe import Recipe


class SGDRecipe(Recipe):
    """Optimiser, learning rate and length as `StockRecipe`; warm-up and a cosine in place of the polynomial."""

    num_epochs = 1000
    initial_lr = 1e-2
    weight_decay = 3e-5
    momentum: float = 0.99

    def make_optimizer(self, lr: float) -> Optimizer:
        return SGD(self.network.parameters(), lr, self.momentum, weight_decay=self.weight_decay, nesterov=True)
