"""A trained model goes on with a few labelled cases of a new scanner: a mix-in for any trainer with a recipe.

The data set in training is that of the new scanner, preprocessed with the plans of the source model. The variable
`nnUNet_pretrained_checkpoint` names the checkpoint of the source model, whose heads are taken over as well.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer

from nnunetv2_factorizer.adaptation.method import Method
from nnunetv2_factorizer.adaptation.methods import All
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.adapt import HEADS
from nnunetv2_factorizer.models.checkpoint import read_checkpoint
from nnunetv2_factorizer.models.identity import sha256
from nnunetv2_factorizer.pretraining.finetuning import ORIGIN_KEY, VARIABLE, Finetuning, start_from
from nnunetv2_factorizer.pretraining.loading import load_partially
from nnunetv2_factorizer.training.bare import bare
from nnunetv2_factorizer.training.schedule import ByIteration

FOLDS = 5
"""Of nnU-Net's own split, which needs as many cases."""


class Adapting(Finetuning):
    """Put first among the bases, before a recipe: `class nnUNetTrainer_AdaptMMTL(Adapting, MuonRecipe)`."""

    method: ClassVar[type[Method]] = All
    adaptation: Method
    _source: dict[str, Any] | None = None

    def initialize(self) -> None:
        self.adaptation = self.method(self)
        if self.method.warmup is not None:
            self.warmup = self.method.warmup
        super().initialize()

    def configure_optimizers(self) -> tuple[Optimizer, ByIteration]:
        optimizer, schedule = super().configure_optimizers()
        self.adaptation.configure(optimizer)
        return optimizer, schedule

    def start(self, path: str) -> None:
        checkpoint = start_from(path, self, bare(self.network), heads=True)
        self.adaptation.start(checkpoint, path)
        if self.method.needs_source:
            self._source = checkpoint
            self.my_init_kwargs[ORIGIN_KEY]["sha256"] = sha256(Path(path))

    def check_weights(self) -> None:
        origin, name = self.my_init_kwargs.get(ORIGIN_KEY), type(self).__name__
        if origin is None or origin["path"] == "-pretrained_weights":
            given = "-pretrained_weights gives it no heads and no history" if origin else "no checkpoint was given"
            raise UserError(
                f"{name} adapts a trained model, but {given}.",
                f"Set the variable {VARIABLE} to the model's checkpoint_final.pth, without -pretrained_weights.",
            )

    def on_weights_ready(self) -> None:
        if self.method.needs_source:
            path, checkpoint = self._source_again() if self._source is None else (self._origin(), self._source)
            self._source = None  # nnU-Net's debug information spells out all attributes
            self.adaptation.prepare(checkpoint, path)
        super().on_weights_ready()

    def source_network(self, checkpoint: dict[str, Any], path: str) -> nn.Module:
        """The source model as a network of its own, with what of it fits, without deep supervision."""
        with torch.random.fork_rng(devices=[]):  # its first weights are random, and replaced at once
            network: nn.Module = self.build_network_architecture(
                self.plans_manager,
                self.configuration_manager,
                self.num_input_channels,
                self.label_manager.num_segmentation_heads,
                enable_deep_supervision=False,
            )
        heads = any(HEADS in name for name in self.pretrained())
        load_partially(network, checkpoint, path, self.architecture_of(self.configuration_manager), heads)
        return network.to(self.device)

    def do_split(self) -> tuple[list[str], list[str]]:
        """nnU-Net's. The mean of no fold says much with few cases, and below five there is none."""
        splits = Path(self.preprocessed_dataset_folder_base) / "splits_final.json"
        if self.fold != "all" and not splits.is_file():
            folder = self.preprocessed_dataset_folder
            number = len(infer_dataset_class(folder).get_identifiers(folder))
            if number < FOLDS:
                raise UserError(
                    f"{self.plans_manager.dataset_name} has {number} labelled cases, fewer than nnU-Net's {FOLDS} "
                    f"folds, so there is no fold {self.fold}.",
                    "Train with fold all in place of the number: on all cases. Or write your own "
                    f'{splits}, such as [{{"train": [...], "val": [...]}}].',
                )
        return super().do_split()

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        training, validation = super().get_tr_and_val_datasets()
        return self.adaptation.training_data(training), validation

    def get_dataloaders(self) -> tuple[Iterator[Any], Iterator[Any]]:
        training, validation = super().get_dataloaders()
        self.adaptation.loader_ready(training)
        return training, validation

    def frozen(self) -> Sequence[Parameter]:
        return super().frozen() or self.adaptation.frozen()

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.adaptation.start_epoch()

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.adaptation.observe(batch["keys"])
        return super().train_step(batch)

    def on_train_epoch_end(self, train_outputs: list[dict[str, Any]]) -> None:
        super().on_train_epoch_end(train_outputs)
        self.adaptation.end_epoch()

    def on_train_end(self) -> None:
        self.adaptation.end_training()
        super().on_train_end()

    def _origin(self) -> str:
        """The file that the training began with. No property: nnU-Net's debug information reads all of them."""
        path: str = self.my_init_kwargs[ORIGIN_KEY]["path"]
        return path

    def _source_again(self) -> tuple[str, dict[str, Any]]:
        """The source checkpoint of a training that goes on, where it was or where the variable says it is now."""
        expected = self.my_init_kwargs[ORIGIN_KEY]["sha256"]
        for path in filter(None, (self._origin(), os.environ.get(VARIABLE))):
            if Path(path).is_file() and sha256(Path(path)) == expected:
                return path, read_checkpoint(path)
        raise UserError(
            f"{self._origin()}, which this training began with, is gone or was changed; {self.method.__name__} needs "
            "it to go on.",
            f"Put it back, or set {VARIABLE} to where it is now.",
        )
