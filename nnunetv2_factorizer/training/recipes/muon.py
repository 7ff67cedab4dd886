"""Muon with warm-up and cosine, for short trainings of any network (ours)."""

from torch.optim import Optimizer

from nnunetv2_factorizer.training.optimizers.muon import Muon, muon_groups
from nnunetv2_factorizer.training.recipe import Recipe


class MuonRecipe(Recipe):
    """A quarter of nnU-Net's epochs; the weights of the losses are nnU-Net's."""

    num_epochs = 250
    initial_lr = 0.0125
    adamw_lr: float = 3e-3
    """The largest learning rate of biases, norms, heads and depthwise convolutions, which AdamW moves."""

    def make_optimizer(self, lr: float) -> Optimizer:
        return Muon(muon_groups(self.network, lr, self.adamw_lr), weight_decay=self.weight_decay)
