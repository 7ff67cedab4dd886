"""Adam or AdamW under nnU-Net's schedule, a polynomial to zero: how the authors of MedNeXt and TransBTS train."""

from typing import ClassVar

from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from torch.optim import Adam, AdamW, Optimizer

from nnunetv2_factorizer.training.attributes import ClassAttributes


class AdamPolyRecipe(ClassAttributes):
    """The numbers of MedNeXt, with nnU-Net's length and weight decay; a trainer of another network sets its own."""

    num_epochs = 1000
    initial_lr = 1e-3
    adam: ClassVar[type[Adam] | type[AdamW]] = AdamW
    eps: float = 1e-4
    """So large that it counts in fp16."""

    def configure_optimizers(self) -> tuple[Optimizer, PolyLRScheduler]:
        parameters = self.network.parameters()
        optimizer = self.adam(parameters, lr=self.initial_lr, eps=self.eps, weight_decay=self.weight_decay)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)
