"""Training of CateNorm (Xiao et al.): a mix-in that makes two updates with each batch.

    1. y_B = F(x; theta_s, theta_NB), and a step of theta_s and theta_NB        (alpha = 1 in the paper)
    2. m = softmax(y_B), detached;  y_C = F(x; theta_s, theta_NC(m)), and a step of theta_s and theta_NC   (alpha = 0)

theta_s are shared, theta_NB are the scales and shifts of the norms, theta_NC the convolutions that make others of the
mask. A training begins with the first pass alone; ours is 10 % of the same training in place of a model of its own
(the paper's table changes by 0.3 points with the length). Loss, optimiser and clipping are those of nnU-Net and of the
recipe, for both steps; the release clips the values of the gradients of the second step at 0.1.
"""

from typing import Any, ClassVar

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.adaptation.catenorm.two_pass import TwoPass
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.training.bare import bare
from nnunetv2_factorizer.training.guard import Guard
from nnunetv2_factorizer.training.remedies import require_one_gpu


class CateNorm(Guard):
    """Put first among the bases: `class nnUNetTrainer_CateNorm(CateNorm, MuonRecipe)`.

    Predictions need nothing else: the network makes both passes by itself. They take twice the time.
    """

    stages: ClassVar[int] = 2
    """Of the encoder, from the highest resolution down. The paper has the first, or all but the last."""
    mask: ClassVar[str] = "predicted"
    """Controls: "shuffled", and "true", which trains and gives the pseudo Dice with the labels themselves as the mask,
    an upper bound. Predictions of images without labels then take the predicted mask."""
    plain_share: ClassVar[float] = 0.1
    """Of the epochs, in which there is the first pass only."""

    @classmethod
    def build(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool,
    ) -> nn.Module:
        body = super().build(
            plans_manager, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision
        )
        return TwoPass(body, num_output_channels, len(configuration_manager.patch_size), cls.stages, cls.mask)

    def initialize(self) -> None:
        name = type(self).__name__
        require_one_gpu(
            self, "each of its updates leaves some weights without a gradient, which data-parallel training refuses"
        )
        if self.label_manager.has_regions:
            raise UserError(
                f"the labels of {self.plans_manager.dataset_name} are regions ({self.dataset_json['labels']}), which "
                f"overlap; the mask of {name} has one class a voxel.",
                "Write dataset.json with a plain label for each class and preprocess again, or take another trainer.",
            )
        super().initialize()
        number = sum(p.numel() for p in bare(self.network).parameters())
        added = sum(p.numel() for name, p in bare(self.network).named_parameters() if _of_mask(name))
        self.print_to_log_file(
            f"{name}: {added:,} of {number:,} parameters make scales and shifts of the mask ({self.mask}) in the first "
            f"{self.stages} stages of the encoder. The first pass comes alone for {self._plain_epochs} epochs; then an "
            "iteration takes two passes and two updates. Norms look for a mask, so the network is not compiled."
        )

    def _do_i_compile(self) -> bool:
        return False

    @property
    def _plain_epochs(self) -> int:
        return round(self.plain_share * self.num_epochs)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self.current_epoch < self._plain_epochs:
            return super().train_step(batch)
        network = self._two_pass()
        when = f"epoch {self.current_epoch}, iteration {self._iteration}, first pass"
        with self._faults_explained(batch, when):
            # nnU-Net's own, and not that of the recipe: two updates are one iteration of the schedule.
            result = nnUNetTrainer.train_step(self, batch)
        self._told_if_non_finite(result, batch, when)
        mask = self._true_mask(batch) if self.mask == "true" else network.made
        assert mask is not None
        network.made = None
        with network.conditioned(mask):
            return super().train_step(batch)  # forgets the gradients of the first

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        network = self._two_pass()
        network.given = self._true_mask(batch) if self.mask == "true" else None
        try:
            return super().validation_step(batch)
        finally:
            network.given = None

    def _true_mask(self, batch: dict[str, Any]) -> Tensor:
        """The labels as a mask `(B, K, *S)`; a voxel that is ignored has no class."""
        target = batch["target"]
        labels = (target[0] if isinstance(target, list) else target)[:, 0].to(self.device).long()
        classes = self.label_manager.num_segmentation_heads
        one_hot = functional.one_hot(labels.clamp(0, classes), classes + 1)[..., :classes]
        return one_hot.movedim(-1, 1).to(torch.float32)

    def _two_pass(self) -> TwoPass:
        network = bare(self.network)
        assert isinstance(network, TwoPass)
        return network


def _of_mask(name: str) -> bool:
    """Whether a parameter is one of theta_NC."""
    return name.rsplit(".", 2)[-2] in ("hidden", "gamma", "beta")
