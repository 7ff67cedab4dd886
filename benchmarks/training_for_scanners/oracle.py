"""Predictions of CateNorm with the labels themselves as its mask: what the second pass could do at best."""

from typing import Any

import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.scanner.cases import dice, read_scanned, some, truth
from benchmarks.training_for_scanners.training import ALL_SCANNERS, predictor
from nnunetv2_factorizer.adaptation.catenorm.two_pass import TwoPass


class MaskBehind(nn.Module):
    """Takes the mask from the channels behind those of the image, so that nnU-Net cuts both into the same tiles."""

    def __init__(self, network: TwoPass, channels: int) -> None:
        super().__init__()
        self.network, self.channels = network, channels

    def forward(self, x: Tensor) -> Tensor:
        classes = x[:, self.channels + 1 :]
        background = 1 - classes.sum(1, keepdim=True)  # zeros where nnU-Net has padded the image
        self.network.given = torch.cat([background, classes], 1)
        try:
            logits: Tensor = self.network(x[:, : self.channels])
        finally:
            self.network.given = None
        return logits


def dice_with_true_masks(trainer: Any) -> dict[str, list[float]]:
    """As `on_scanners`, of a trainer with a `TwoPass` network."""
    return {
        scanner: [dice(_segment(trainer, case, scanner), truth(case)) for case in some()] for scanner in ALL_SCANNERS
    }


def _segment(trainer: Any, case: str, scanner: str) -> NDArray:
    plans, configuration = trainer.plans_manager, trainer.configuration_manager
    data, labels, properties = configuration.preprocessor_class(verbose=False).run_case_npy(
        *_arguments(case, scanner), plans, configuration, trainer.dataset_json
    )
    classes = trainer.label_manager.num_segmentation_heads
    mask = functional.one_hot(torch.from_numpy(labels[0]).clamp(0).long(), classes).movedim(-1, 0)
    both = torch.cat([torch.from_numpy(data), mask.float()])
    model = predictor(trainer, MaskBehind(trainer.network, len(data)))
    logits = model.predict_sliding_window_return_logits(both).cpu()
    segmentation: NDArray = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits, plans, configuration, trainer.label_manager, properties
    )
    return segmentation


def _arguments(case: str, scanner: str) -> tuple[NDArray, NDArray, dict[str, Any]]:
    image, properties = read_scanned(case, scanner)
    return image, truth(case)[None], properties
