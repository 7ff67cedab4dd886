"""Training with an objective beside the segmentation: a mix-in for any nnU-Net trainer.

Put first among the bases: `class nnUNetTrainer_Consistency(WithObjective, MuonRecipe)`.
"""

from collections import defaultdict
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from nnunetv2_factorizer.adaptation.objective import Batch, Objective
from nnunetv2_factorizer.training.bare import bare
from nnunetv2_factorizer.training.batch import on_device
from nnunetv2_factorizer.training.guard import Guard
from nnunetv2_factorizer.training.remedies import require_one_gpu

HEADS_KEY = "nnunetv2_factorizer_objective"
"""The key of what we add to nnU-Net's `init_args`: weights of the objective's heads, and their optimiser's state."""


class WithObjective(Guard):
    """Adds the terms of an `objective` to nnU-Net's loss. Prediction needs nothing of it."""

    objective: ClassVar[type[Objective]]
    heads_lr: float = 1e-3
    """Of the AdamW that moves the objective's heads."""
    asked: Objective
    _heads: Optimizer | None = None
    _features: tuple[Tensor, ...] = ()
    _batch: Batch
    _terms: defaultdict[str, list[float]]

    def initialize(self) -> None:
        require_one_gpu(self, f"the heads of {self.objective.__name__} are trained on one")
        super().initialize()

    def _do_i_compile(self) -> bool:
        return False  # features are taken by a hook, which a compiled network does not call for each batch

    def configure_optimizers(self) -> tuple[Optimizer, Any]:
        optimizer, schedule = super().configure_optimizers()
        self.asked = self.objective(self).to(self.device)
        if heads := list(self.asked.parameters()):
            self._heads = AdamW(heads, self.heads_lr)
            # A GradScaler calls the optimiser, and with it this, only where all gradients are finite.
            optimizer.register_step_pre_hook(self._step_heads)
        encoder = bare(self.network).encoder
        assert isinstance(encoder, nn.Module)
        encoder.register_forward_hook(self._keep_features)
        return optimizer, schedule

    def _build_loss(self) -> nn.Module:
        return self.refusing_non_finite(_Loss(super()._build_loss(), self))

    def on_train_start(self) -> None:
        super().on_train_start()
        self.asked.start_training()

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self._terms = defaultdict(list)
        self.asked.start_epoch()

    def train_step(self, batch: Batch) -> dict[str, Any]:
        self._batch = self.asked.pose(on_device(batch, self.device))
        if self._heads is not None:
            self._heads.zero_grad()
        return super().train_step(self._batch)

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        means = ", ".join(f"{name} {sum(values) / len(values):.4f}" for name, values in self._terms.items())
        self.print_to_log_file(f"{self.objective.__name__}: {means}")
        self.asked.end_epoch()

    def save_checkpoint(self, filename: str) -> None:
        optimizer = None if self._heads is None else self._heads.state_dict()
        self.my_init_kwargs[HEADS_KEY] = {"weights": self.asked.state_dict(), "optimizer": optimizer}
        super().save_checkpoint(filename)

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        super().load_checkpoint(filename_or_checkpoint)
        heads = self.my_init_kwargs[HEADS_KEY]
        self.asked.load_state_dict(heads["weights"])
        if self._heads is not None:
            self._heads.load_state_dict(heads["optimizer"])

    def added(self, outputs: Tensor | list[Tensor]) -> Tensor:
        """The sum of the objective's terms for the batch that is in training."""
        terms = self.asked.terms(self._features, outputs if isinstance(outputs, list) else [outputs], self._batch)
        for name, value in terms.items():
            self._terms[name].append(value.item())
        return torch.stack(list(terms.values())).sum()

    def _keep_features(self, _encoder: nn.Module, _inputs: Any, features: list[Tensor]) -> None:
        self._features = tuple(features)

    def _step_heads(self, *_: Any) -> None:
        assert self._heads is not None
        if self.grad_scaler is not None:
            for group in self._heads.param_groups:
                for head in group["params"]:
                    if head.grad is not None:
                        head.grad.div_(self.grad_scaler.get_scale())
        self._heads.step()


class _Loss(nn.Module):
    """nnU-Net's, and while the network is trained the terms of the objective."""

    def __init__(self, segmentation: nn.Module, trainer: WithObjective) -> None:
        super().__init__()
        self.segmentation, self.trainer = segmentation, trainer

    def forward(self, outputs: Any, target: Any) -> Tensor:
        if not bare(self.trainer.network).training:
            return self.segmentation(outputs, target)
        part = self.trainer.asked.supervised
        supervised = [part(output) for output in outputs] if isinstance(outputs, list) else part(outputs)
        return self.segmentation(supervised, target) + self.trainer.added(outputs)
