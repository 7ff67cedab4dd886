"""The training of one stage: a mix-in for any trainer with a recipe, started by `nnUNetv2_factorizer_lifelong`."""

from nnunetv2_factorizer.adaptation.trainer import Adapting
from nnunetv2_factorizer.lifelong.stage import current_stage


class Lifelong(Adapting):
    """Put first among the bases, before a recipe: `class nnUNetTrainer_LifelongEWC(Lifelong, MuonRecipe)`.

    The first stage starts from scratch, each other one from a model of the pool; learning rates start anew.
    """

    num_epochs = 200
    lr_share = 1.0

    def check_weights(self) -> None:
        if current_stage().starts_from is not None:
            super().check_weights()

    def on_weights_ready(self) -> None:
        if current_stage().starts_from is not None:
            super().on_weights_ready()
        self._source = None  # where the plans name a checkpoint to start the first stage from
