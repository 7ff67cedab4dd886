"""Fine-tuning: a training that starts from pre-trained weights; mix-ins for any trainer with a recipe.

After nnU-Net's development branch, which warms up the whole network, takes a tenth of the learning rate and freezes
nothing. Ours: any network, channels, patch and classes; `freeze`; and a training without weights is refused.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.adapt import HEADS
from nnunetv2_factorizer.models.checkpoint import read_checkpoint
from nnunetv2_factorizer.pretraining.loading import RANDOM, format_rows, load_partially
from nnunetv2_factorizer.training.bare import bare
from nnunetv2_factorizer.training.guard import Guard
from nnunetv2_factorizer.training.recipe import Recipe
from nnunetv2_factorizer.training.schedule import ByIteration

VARIABLE = "nnUNet_pretrained_checkpoint"
"""The environment variable with the checkpoint to start from."""

ORIGIN_KEY = "nnunetv2_factorizer_finetuned_from"
"""The key of what we add to nnU-Net's `init_args`: the file, which tensors of the body it did not fill, and `heads`:
True where those were loaded, too."""


class FinetuningSchedule(Recipe):
    """A shorter training with smaller steps: alone it is the control from scratch, put before `Guard` and a recipe."""

    num_epochs = 50
    lr_share: float = 0.1
    """Of the learning rates of the recipe, those of all groups of parameters."""

    def multiplier(self, step: int) -> float:
        return self.lr_share * super().multiplier(step)


class Finetuning(Guard, FinetuningSchedule):
    """Put first among the bases, before a recipe. Starts from pre-trained weights, or not at all.

    They come from nnU-Net's `-pretrained_weights FILE`, which wants equal shapes; else from the file that the variable
    `nnUNet_pretrained_checkpoint` names; else from `pretrain_info.checkpoint_path` of the plans, where nnU-Net's
    development branch keeps it. A training that goes on (`--c`), validation and inference ask for none of them.
    """

    freeze: int = 0
    """Epochs in which only what is not pre-trained is moved: the heads, and what no weights were found for."""
    _goes_on = False
    _first: torch.Tensor
    _frozen: Sequence[Parameter] = ()

    def initialize(self) -> None:
        super().initialize()
        if self._goes_on:
            return
        if path := given_checkpoint(self.plans_manager.plans):
            self.start(path)
        self._first = next(bare(self.network).parameters()).detach().clone()

    def start(self, path: str) -> None:
        """Takes from the checkpoint what a training begins with."""
        start_from(path, self, bare(self.network))

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        self._goes_on = True
        super().load_checkpoint(filename_or_checkpoint)

    def on_train_start(self) -> None:
        if not self.was_initialized:
            self.initialize()
        if not self._goes_on:
            self._note_stock_weights()
            self.check_weights()
        self.on_weights_ready()
        super().on_train_start()

    def on_weights_ready(self) -> None:
        """For subclasses: a training begins or goes on, its weights are there, its data not yet."""

    def configure_optimizers(self) -> tuple[Optimizer, ByIteration]:
        optimizer, schedule = super().configure_optimizers()
        # Without a gradient an optimiser leaves a parameter alone, its decay and its state included. `requires_grad`
        # would do the same, but a data-parallel network cannot change it between epochs.
        optimizer.register_step_pre_hook(self._drop_frozen_gradients)
        return optimizer, schedule

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self._frozen = self.frozen()

    def frozen(self) -> Sequence[Parameter]:
        """The parameters that do not move in the present epoch."""
        if self.current_epoch >= self.freeze:
            return ()
        parameters = list(self.pretrained().values())
        number = sum(p.numel() for p in parameters)
        self.print_to_log_file(f"{number:,} pre-trained parameters are frozen for the first {self.freeze} epochs")
        return parameters

    def _note_stock_weights(self) -> None:
        """nnU-Net does not tell a trainer of `-pretrained_weights`, but weights have changed since `initialize`."""
        if not torch.equal(self._first, next(bare(self.network).parameters())):
            self.my_init_kwargs[ORIGIN_KEY] = {"path": "-pretrained_weights", "random": []}

    def check_weights(self) -> None:
        """Refuses a training that would begin without pre-trained weights."""
        if ORIGIN_KEY not in self.my_init_kwargs:
            name = type(self).__name__
            raise UserError(
                f"{name} fine-tunes, but no pre-trained weights were given: neither -pretrained_weights, nor the "
                f"variable {VARIABLE}, nor pretrain_info.checkpoint_path in the plans.",
                f"Set {VARIABLE} to the checkpoint. To train from scratch, take "
                f"{name.replace('_Finetune', '_FinetuneFromScratch')} or another trainer.",
            )

    def pretrained(self) -> dict[str, Parameter]:
        """The parameters that did not start as random numbers, by name."""
        origin = self.my_init_kwargs.get(ORIGIN_KEY, {"random": []})
        named = bare(self.network).named_parameters()
        return {
            name: p
            for name, p in named
            if name not in origin["random"] and (HEADS not in name or origin.get("heads", False))
        }

    def _drop_frozen_gradients(self, *_: Any) -> None:
        for p in self._frozen:
            p.grad = None


def start_from(path: str, trainer: Guard, network: nn.Module, heads: bool = False) -> dict[str, Any]:
    """Loads into the bare network what fits. The trainer's log gets the table, and its `init_args` keep the origin.

    Args:
        path: of the checkpoint, which is given back.
        trainer: of the network.
        network: bare.
        heads: whether they are loaded, too, if the labels are the same.
    """
    checkpoint = read_checkpoint(path, "Copy or download it again, or pre-train anew.")
    heads = heads and labels_of(checkpoint["init_args"]["dataset_json"]) == labels_of(trainer.dataset_json)
    architecture = trainer.architecture_of(trainer.configuration_manager)
    rows = load_partially(network, checkpoint, path, architecture, heads)
    random = [row.name for row in rows if row.fate == RANDOM and (heads or not row.of_head)]
    trainer.my_init_kwargs[ORIGIN_KEY] = {"path": path, "random": random} | ({"heads": True} if heads else {})
    trainer.print_to_log_file(f"Pre-trained weights from {path}\n{format_rows(rows)}")
    return checkpoint


def labels_of(dataset_json: dict[str, Any]) -> dict[str, Any]:
    """What gives the outputs of a network their meaning."""
    return {key: dataset_json[key] for key in ("labels", "regions_class_order") if key in dataset_json}


def given_checkpoint(plans: dict[str, Any]) -> str | None:
    """The checkpoint that the variable names, else the plans; None where neither does.

    Raises:
        UserError: there is no such file.
    """
    in_plans = (plans.get("pretrain_info") or {}).get("checkpoint_path")
    for path, where in ((os.environ.get(VARIABLE), f"the variable {VARIABLE}"), (in_plans, "the plans")):
        if path and not Path(path).is_file():
            raise UserError(
                f"{where} names {path} as the checkpoint to start from, which is no file.",
                f"Set {VARIABLE} to a checkpoint of a pre-training or of a training, such as checkpoint_final.pth.",
            )
        if path:
            return str(path)
    return None
