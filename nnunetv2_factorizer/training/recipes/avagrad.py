"""AvaGrad for few epochs (Sheikh, Klasen, Schultz, DART 2022), meant for models that will meet other scanners."""

from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from torch.optim import Optimizer

from nnunetv2_factorizer.training.attributes import ClassAttributes
from nnunetv2_factorizer.training.optimizers.avagrad import AvaGrad


class AvaGradRecipe(ClassAttributes):
    """50 epochs at a learning rate of 10; schedule, weight decay, clipping and losses are nnU-Net's.

    The paper says nothing of weight decay, of clipping, nor of the schedule of the shortened training.
    """

    num_epochs = 50
    initial_lr = 10.0
    eps: float = 0.1

    def configure_optimizers(self) -> tuple[Optimizer, PolyLRScheduler]:
        optimizer = AvaGrad(self.network.parameters(), self.initial_lr, eps=self.eps, weight_decay=self.weight_decay)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)
