"""Fine-tune the first layers only: they see the scanner, later ones the organ (Zakazov et al., MICCAI 2021)."""

from collections.abc import Sequence
from typing import ClassVar

from torch.nn import Parameter

from nnunetv2_factorizer.adaptation.method import Method
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.training.bare import bare


class FirstLayers(Method):
    """Only the stem, if there is one, and the first `stages` of the encoder move, and what is not of the source model.

    Gradients of the others are computed and dropped before the optimiser's step, so a step takes as long, and the norm
    that nnU-Net clips is that of all.
    """

    stages: ClassVar[int] = 1

    def frozen(self) -> Sequence[Parameter]:
        moving = ["encoder.stem.", "encoder.stages.0."]
        for stage in range(1, self.stages):
            moving += [f"encoder.downsamplings.{stage - 1}.", f"encoder.stages.{stage}."]
        frozen = [p for name, p in self.trainer.pretrained().items() if not name.startswith(tuple(moving))]
        total, still = (sum(p.numel() for p in ps) for ps in (bare(self.trainer.network).parameters(), frozen))
        if total == still:
            raise UserError(
                f"{type(bare(self.trainer.network)).__name__} has no parameter named {' or '.join(moving[:2])}...",
                "Take another method: which layers come first cannot be told for this network.",
            )
        self.trainer.print_to_log_file(f"{total - still:,} of {total:,} parameters move, those of the first layers")
        return frozen
