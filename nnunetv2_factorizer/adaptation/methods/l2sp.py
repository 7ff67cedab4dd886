"""L2-SP: the network is pulled back to where it started (Li et al., ICML 2018; baseline of Goodman et al.).

    loss + a ||theta - theta_source||^2

Its gradient, 2 a (theta - theta_source), is added to the gradients just before the optimiser's step: exact whether the
network is compiled, data-parallel or trained with a GradScaler, which has removed its scale by then. Like the weight
decay of nnU-Net's SGD it is not clipped, and like every gradient it goes through the momentum. The printed loss is
without it.

Ours: a, which the paper does not give. Biases and norms are pulled, too, since they hold contrasts of the scanner; what
does not come from the source model (heads of other labels) is not. The recipe's weight decay stays.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from nnunetv2_factorizer.adaptation.method import Method


class L2SP(Method):
    """All parameters move, and each is pulled back to its value in the source model."""

    needs_source = True
    a: ClassVar[float] = 0.01
    _pairs: tuple[tuple[Parameter, Tensor], ...] = ()
    """theta and theta_source, tensor by tensor."""

    def configure(self, optimizer: Optimizer) -> None:
        optimizer.register_step_pre_hook(self._pull)

    def prepare(self, checkpoint: dict[str, Any], path: str) -> None:
        values = dict(self.trainer.source_network(checkpoint, path).named_parameters())
        self._pairs = tuple((p, values[name].detach()) for name, p in self.trainer.pretrained().items())

    @torch.no_grad()
    def _pull(self, *_: Any) -> None:
        for theta, source in self._pairs:
            if theta.grad is not None:
                theta.grad.add_(theta - source, alpha=2 * self.a)
