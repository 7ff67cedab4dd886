"""AdamW under warm-up and cosine, as networks with a Transformer are trained by their authors."""

from torch.optim import AdamW, Optimizer

from nnunetv2_factorizer.training.recipe import Recipe


class AdamWRecipe(Recipe):
    """The numbers of UNETR; a trainer of another network sets its own. The weights of the losses are nnU-Net's."""

    num_epochs = 80
    initial_lr = 1e-4
    weight_decay = 1e-5
    warmup = 0.01

    def make_optimizer(self, lr: float) -> Optimizer:
        return AdamW(self.network.parameters(), lr=lr, weight_decay=self.weight_decay)
