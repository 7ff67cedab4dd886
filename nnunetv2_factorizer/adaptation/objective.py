"""What a network is asked beside the segmentation while it is trained, so that it does well on other scanners, too."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from nnunetv2_factorizer.adaptation.with_objective import WithObjective

Batch = dict[str, Any]
"""nnU-Net's: `data` `(B, C, *S)`, `target`, a list with deep supervision, and the names of the cases in `keys`."""


class Objective(nn.Module):
    """Terms that are added to nnU-Net's loss. One objective is one file in `adaptation/objectives`.

    What it has of modules are its heads. They are trained beside the network by an optimiser of their own and kept in
    the checkpoint for `--c`; the network stays what it is, and stock nnU-Net predicts with it.

    Args:
        trainer: whose network is there, without any wrapper in `bare(trainer.network)`. Its data are not there yet.
    """

    def __init__(self, trainer: "WithObjective") -> None:
        super().__init__()
        self.trainer = trainer

    def start_training(self) -> None:
        """A training begins or goes on, and its data are there."""

    def start_epoch(self) -> None:
        """Before the first batch of an epoch."""

    def pose(self, batch: Batch) -> Batch:
        """The batch that the network is trained on, given nnU-Net's on the device: other images may be put behind."""
        return batch

    def supervised(self, outputs: Tensor) -> Tensor:
        """The part `(B', K, *S)` of one output of the network that `target` of the posed batch is for."""
        return outputs

    def terms(self, features: Sequence[Tensor], outputs: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """What is added to nnU-Net's loss, each term with its weight, by its name in the log.

        Args:
            features: of the encoder's stages `(B, C, *S)`, highest resolution first.
            outputs: logits `(B, K, *S)`, highest resolution first; one without deep supervision.
            batch: as posed.
        """
        raise NotImplementedError

    def end_epoch(self) -> None:
        """After the last training batch of an epoch."""
