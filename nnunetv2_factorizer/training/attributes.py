"""Hyper-parameters as attributes of a trainer's class."""

from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class ClassAttributes(nnUNetTrainer):
    """Whatever nnU-Net's constructor sets, such as `num_epochs`, may be an attribute of the class, which then holds."""

    # nnU-Net looks the arguments of its own constructor up by the names of this signature: *args would not do.
    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        for name in [name for name in vars(self) if hasattr(type(self), name)]:
            delattr(self, name)  # what nnU-Net's constructor sets would hide the attributes of the class
