"""A training of a few minutes on a CPU."""

from typing import Any

import torch

from nnunetv2_factorizer.trainers.nnUNetTrainerConvFactorizer import nnUNetTrainerConvFactorizer


class nnUNetTrainerFactorizerDemo(nnUNetTrainerConvFactorizer):
    """The Conv Factorizer for 240 iterations."""

    epochs = 8

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
        self.num_iterations_per_epoch = 30
        self.num_val_iterations_per_epoch = 3
