"""How a trained model is adapted to a few labelled cases of a new scanner: what a method may ask of the trainer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch.nn import Parameter
from torch.optim import Optimizer

if TYPE_CHECKING:
    from nnunetv2_factorizer.adaptation.trainer import Adapting


class Method:
    """Fine-tuning as it is; a method overrides the hooks that it needs. One method is one file in `methods`.

    Args:
        trainer: whose network is adapted. The network is not there yet.
    """

    warmup: ClassVar[float | None] = None
    """Share of the iterations; None: the recipe's."""
    needs_source: ClassVar[bool] = False
    """Whether the source checkpoint is needed when a training goes on, too."""

    def __init__(self, trainer: "Adapting") -> None:
        self.trainer = trainer

    def configure(self, optimizer: Optimizer) -> None:
        """Sets what is other than in the recipe, before the first step and before any state is loaded."""

    def start(self, checkpoint: dict[str, Any], path: str) -> None:
        """Takes from the source checkpoint what a training begins with beside the weights, which are loaded."""

    def prepare(self, checkpoint: dict[str, Any], path: str) -> None:
        """With `needs_source`, what is needed of the source whenever a training begins or goes on."""

    def frozen(self) -> Sequence[Parameter]:
        """The parameters that do not move in the present epoch."""
        return ()

    def training_data(self, dataset: Any) -> Any:
        """The data set that is trained on, given that of the new scanner."""
        return dataset

    def loader_ready(self, augmenter: Any) -> None:
        """Tells nnU-Net's loader of training batches, once it runs."""

    def start_epoch(self) -> None:
        """Before the first batch of an epoch."""

    def observe(self, cases: Sequence[str]) -> None:
        """Tells the cases of a batch."""

    def end_epoch(self) -> None:
        """After the last batch of an epoch."""

    def end_training(self) -> None:
        """After the last epoch, before nnU-Net's final checkpoint; its loaders still run."""
