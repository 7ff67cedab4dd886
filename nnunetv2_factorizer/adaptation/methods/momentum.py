"""The momentum of OCTL without its history: the control, since a larger momentum alone takes larger steps."""

from typing import ClassVar

from torch.optim import Optimizer

from nnunetv2_factorizer.adaptation.method import Method


class Momentum(Method):
    """Fine-tune all with the momentum of Goodman et al., for SGD, Muon and Adam, and no warm-up.

    nnU-Net's SGD has this momentum anyway. Whether momentum is Nesterov's is left to the recipe.
    """

    warmup = 0.0
    momentum: ClassVar[float] = 0.99
    """mu, of SGD and of Muon's matrices."""
    betas: ClassVar[tuple[float, float]] = (0.99, 0.999)
    """Of Adam, and of what Muon leaves to it. The authors' release keeps (0.9, 0.999), against their text."""

    def configure(self, optimizer: Optimizer) -> None:
        for group in optimizer.param_groups:
            group.update({name: getattr(self, name) for name in ("momentum", "betas") if name in group})
