"""EWC: what mattered to earlier stages moves least (Kirkpatrick et al., PNAS 2017; a baseline of ODEx).

    loss + lambda / 2 sum_k sum_i F_ki (theta_i - theta_ki)^2,  k an earlier stage, theta_k its weights at the end

F_k is the diagonal of the Fisher matrix of stage k, the mean of squared gradients. Only sum_k F_k and sum_k F_k theta_k
are needed for the gradient lambda sum_k F_k (theta - theta_k), so the file beside the checkpoint has one size however
many stages there are. The gradient is added just before the optimiser's step, exact whether the network is compiled or
trained with a GradScaler; the printed loss is without it, and it is not clipped.

lambda = 0.4 as in Lifelong nnU-Net. Ours: F is of nnU-Net's whole loss and of batches (as many as an epoch has, with
augmentation) in place of single cases, in full precision.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from nnunetv2_factorizer.adaptation.method import Method
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.training.bare import bare
from nnunetv2_factorizer.training.batch import on_device

FILE = "fisher.pth"
"""Beside the checkpoint: `fisher` sum_k F_k and `weighted` sum_k F_k theta_k, each by the name of the parameter."""


class EWC(Method):
    """All parameters move, and each is pulled back as strongly as earlier stages need it."""

    needs_source = True
    weight: ClassVar[float] = 0.4
    """lambda."""
    _pulled: tuple[tuple[str, Parameter, Tensor, Tensor], ...] = ()
    """Name, theta, sum_k F_k and sum_k F_k theta_k."""

    def configure(self, optimizer: Optimizer) -> None:
        optimizer.register_step_pre_hook(self._pull)

    def prepare(self, checkpoint: dict[str, Any], path: str) -> None:
        file = Path(path).with_name(FILE)
        if not file.is_file():
            raise UserError(
                f"{file} does not exist: nothing says what mattered to the stages before.",
                "Bring it back; the training of a stage with EWC writes it beside its checkpoint.",
            )
        known = torch.load(file, map_location="cpu", weights_only=True)
        named = bare(self.trainer.network).named_parameters()
        self._pulled = tuple((name, p, known["fisher"][name].to(p), known["weighted"][name].to(p)) for name, p in named)

    @torch.no_grad()
    def _pull(self, *_: Any) -> None:
        for _name, theta, fisher, weighted in self._pulled:
            if theta.grad is not None:
                theta.grad.add_(fisher * theta - weighted, alpha=self.weight)

    def end_training(self) -> None:
        fisher = self._fisher()
        named = dict(bare(self.trainer.network).named_parameters())
        weighted = {name: f * named[name].detach() for name, f in fisher.items()}
        for name, _, earlier, earlier_weighted in self._pulled:
            fisher[name], weighted[name] = fisher[name] + earlier, weighted[name] + earlier_weighted
        if self.trainer.local_rank == 0 and not self.trainer.disable_checkpointing:
            with replacing(str(Path(self.trainer.output_folder) / FILE)) as unfinished:
                torch.save({"fisher": fisher, "weighted": weighted}, unfinished)

    def _fisher(self) -> dict[str, Tensor]:
        """The diagonal for the present weights and stage."""
        trainer, batches = self.trainer, self.trainer.num_iterations_per_epoch
        network = bare(trainer.network).eval()
        named = dict(network.named_parameters())
        squares = {name: torch.zeros_like(p) for name, p in named.items()}
        for _ in range(batches):
            batch = on_device(next(trainer.dataloader_train), trainer.device)
            loss = trainer.loss(network(batch["data"]), batch["target"])
            gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
            for name, gradient in zip(named, gradients, strict=True):
                if gradient is not None:
                    squares[name] += gradient.square() / batches
        return squares
