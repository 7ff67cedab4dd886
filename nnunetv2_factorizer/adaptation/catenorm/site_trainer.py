"""Training with one norm a site: a mix-in for any nnU-Net trainer.

The sites come from a column of `case_metadata.json`. At the end there is a checkpoint for each, the plain network with
the norms of that site: `nnUNetv2_predict -chk checkpoint_site_A.pth`. So it is the user who says where images are from.
"""

import re
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.optim import Optimizer

from nnunetv2_factorizer.adaptation.catenorm.per_site import (
    Sites,
    give_sites,
    refuse_several_sites,
    weights_of_site,
)
from nnunetv2_factorizer.case_metadata import FILE, group_cases, metadata_folder, read_column
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.checkpoint import read_checkpoint
from nnunetv2_factorizer.models.standalone import NOT_FOR_INFERENCE
from nnunetv2_factorizer.training.guard import Guard
from nnunetv2_factorizer.training.remedies import require_one_gpu

SITES_KEY = "nnunetv2_factorizer_sites"
"""The key of what we add to nnU-Net's `init_args`: the sites, in the order of their norms."""

FINAL = "checkpoint_final.pth"


class NormPerSite(Guard):
    """Put first among the bases: `class nnUNetTrainer_NormPerSite(NormPerSite, MuonRecipe)`."""

    column: ClassVar[str] = "site"
    dataset_class: Any
    _site_of: dict[str, int]
    """Case to the number of its site."""
    _names: list[str]
    _sites: Sites

    @classmethod
    def build(cls, *arguments: Any) -> nn.Module:
        """The plain network, which predicts with the weights of one site; a training puts the others in."""
        network = super().build(*arguments)
        network.register_load_state_dict_pre_hook(refuse_several_sites)
        return network

    def initialize(self) -> None:
        require_one_gpu(
            self, "a batch leaves the norms of other sites without a gradient, which data-parallel training refuses"
        )
        self._read_sites()
        super().initialize()

    def _read_sites(self) -> None:
        folder = metadata_folder(self.plans_manager.dataset_name)
        training, validation = self.do_split()
        groups = group_cases(folder, self.column, training)
        # As they will stand in the names of files.
        self._names = sorted(map(str, groups))
        for name in self._names:
            if not re.fullmatch(r"\w[\w.-]*", name):
                raise UserError(
                    f"{folder / FILE} has {name!r} in the column {self.column!r}, which cannot be part of the name of "
                    "a checkpoint.",
                    "Name sites by letters, digits, dots and dashes.",
                )
        values = {**read_column(folder, self.column, training), **read_column(folder, self.column, validation)}
        if unseen := {case: value for case, value in values.items() if value not in groups}:
            case, value = next(iter(unseen.items()))
            raise UserError(
                f"{value!r}, the {self.column} of the validation case {case}, has no case among the {len(training)} "
                f"training cases of fold {self.fold}: no norm of it would be trained.",
                "Write a splits_final.json in which each site has training cases, or train with fold all.",
            )
        self._site_of = {case: self._names.index(str(value)) for case, value in values.items()}

    def _do_i_compile(self) -> bool:
        return False  # norms look for the sites of the batch

    def configure_optimizers(self) -> tuple[Optimizer, Any]:
        self._sites = give_sites(self.network, len(self._names))
        self.print_to_log_file(f"Each norm has weights for {self.column} {', '.join(self._names)}; not compiled.")
        return super().configure_optimizers()

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        super().load_checkpoint(filename_or_checkpoint)
        there = self.my_init_kwargs[SITES_KEY]
        if there != self._names:
            raise UserError(
                f"the checkpoint has norms of {', '.join(there)}, {FILE} has {', '.join(self._names)} now.",
                f"Put {FILE} back as it was, or train anew.",
            )

    def save_checkpoint(self, filename: str) -> None:
        self.my_init_kwargs[SITES_KEY] = self._names
        super().save_checkpoint(filename)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        self._tell(batch["keys"])
        return super().train_step(batch)

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        self._tell(batch["keys"])
        return super().validation_step(batch)

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """nnU-Net's, in which the data set tells the site of each case that it loads."""
        tell, dataset_class = self._tell, self.dataset_class

        class Telling(dataset_class):  # type: ignore[valid-type,misc]
            def load_case(self, identifier: str) -> Any:
                tell([identifier])
                return super().load_case(identifier)

        self.dataset_class = Telling
        try:
            super().perform_actual_validation(save_probabilities)
        finally:
            self.dataset_class = dataset_class

    def on_train_end(self) -> None:
        super().on_train_end()
        if self.disable_checkpointing:
            return
        folder = Path(self.output_folder)
        checkpoint = read_checkpoint(str(folder / FINAL))
        kept = {key: value for key, value in checkpoint.items() if key not in NOT_FOR_INFERENCE}
        for number, name in enumerate(self._names):
            weights = weights_of_site(checkpoint["network_weights"], number)
            with replacing(str(folder / f"checkpoint_site_{name}.pth")) as unfinished:
                torch.save({**kept, "network_weights": weights}, unfinished)
            self.print_to_log_file(f"For images of {self.column} {name}: -chk checkpoint_site_{name}.pth")

    def _tell(self, cases: Any) -> None:
        self._sites.of_images = [self._site_of[case] for case in cases]
