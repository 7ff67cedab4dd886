"""The mean of probabilities as logits, against the plain formulation."""

from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnunetv2_factorizer.adaptation.style.average import mean_of_predictions

LABELS: dict[str, Any] = {"background": 0, "oedema": 1, "core": 2}
REGIONS: dict[str, Any] = {"background": 0, "lesion": [1, 2], "core": [2]}


def manager(regions: bool) -> LabelManager:
    return LabelManager(REGIONS, [1, 2]) if regions else LabelManager(LABELS, None)


@pytest.mark.parametrize("regions", [False, True])
def test_against_plain_probabilities(regions: bool) -> None:
    labels = manager(regions)
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (4, labels.num_segmentation_heads, 3, 4, 5))
    probabilities = 1 / (1 + np.exp(-logits)) if regions else np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = mean_of_predictions((torch.from_numpy(x).float() for x in logits), labels)
    np.testing.assert_allclose(labels.apply_inference_nonlin(found), probabilities.mean(0), atol=1e-5)


@pytest.mark.parametrize("regions", [False, True])
def test_probabilities_of_0_and_1_in_half_precision(regions: bool) -> None:
    labels = manager(regions)
    logits = torch.full((labels.num_segmentation_heads, 2, 2, 2), -300.0, dtype=torch.half)
    logits[0] = 300
    found = mean_of_predictions([logits, logits], labels)
    assert found.dtype == torch.half
    assert found.isfinite().all()
    assert labels.convert_logits_to_segmentation(found).unique().tolist() == ([1] if regions else [0])
