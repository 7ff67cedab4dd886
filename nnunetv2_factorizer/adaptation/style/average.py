"""The mean of several predictions: of their probabilities, not of their logits."""

from collections.abc import Iterable

import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from torch import Tensor

SURE = 1e-7
"""Probabilities of regions are at least so far from 0 and 1."""


def mean_of_predictions(predictions: Iterable[Tensor], labels: LabelManager) -> Tensor:
    """Logits whose probabilities are the mean of those of the predictions.

    nnU-Net's export goes on from logits: they are the logarithms of the mean of the softmax, and for regions the logit
    of the mean of the sigmoid.

    Args:
        predictions: at least one, logits `(K, *S)`; taken one at a time.
        labels: of the model.

    Returns:
        `(K, *S)` of the type of the predictions.
    """
    total, number = torch.zeros(()), 0
    for logits in predictions:
        total, number = total + labels.apply_inference_nonlin(logits), number + 1
    mean = total / number
    if labels.has_regions:
        return torch.logit(mean, eps=SURE).to(logits.dtype)
    return mean.clamp_min(torch.finfo(mean.dtype).tiny).log().to(logits.dtype)
