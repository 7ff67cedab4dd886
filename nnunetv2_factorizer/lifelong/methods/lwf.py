"""LwF: the network is asked to answer as it did before the stage (Li and Hoiem, ECCV 2016; a baseline of ODEx).

    loss + KL(p_old || p),  p = softmax(logits / T),  T = 2

p_old is of a frozen copy of the model that the stage began with, on the images of the present stage: no old data are
needed. The mean is over voxels, of the output of the highest resolution. T is that of Lifelong nnU-Net.

Ours: for regions, whose outputs are sigmoids, the KL of each channel, summed. The paper prints the cross-entropy, which
has the same gradient.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from nnunetv2_factorizer.adaptation.divergence import divergence
from nnunetv2_factorizer.adaptation.method import Method
from nnunetv2_factorizer.adaptation.objective import Batch, Objective

TEMPERATURE = 2.0


class LwF(Method):
    """All parameters move. Keeps the frozen copy for the objective `Distillation`, which the trainer has beside it."""

    needs_source = True
    old: nn.Module | None = None

    def prepare(self, checkpoint: dict[str, Any], path: str) -> None:
        self.old = self.trainer.source_network(checkpoint, path).eval().requires_grad_(False)


class Distillation(Objective):
    """The KL of the old answers and the new ones; 0 in the first stage, which has no old ones."""

    def terms(self, features: Sequence[Tensor], outputs: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        old: nn.Module | None = cast(Any, self.trainer).adaptation.old
        if old is None:
            return {"distillation": outputs[0].new_zeros(())}
        with torch.no_grad():
            before = old(batch["data"])
        regions = self.trainer.label_manager.has_regions
        return {"distillation": distillation(before.float(), outputs[0].float(), regions)}


def distillation(old: Tensor, new: Tensor, regions: bool) -> Tensor:
    """KL(p_old || p) of logits `(B, K, *S)` at the temperature, the mean over voxels."""
    return divergence(old / TEMPERATURE, new / TEMPERATURE, regions).mean()
