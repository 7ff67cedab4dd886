"""What all pre-trainings have in common: where the body starts, what is logged, and what is left for fine-tuning."""

from pathlib import Path
from typing import Any

from torch import nn

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.checkpoint import RECORD_KEY, make_record
from nnunetv2_factorizer.pretraining.export import (
    ADAPTATION_KEY,
    PRETRAINED,
    adaptation_plan,
    fine_tuning_weights,
    write_pretrained,
)
from nnunetv2_factorizer.pretraining.finetuning import given_checkpoint, start_from
from nnunetv2_factorizer.pretraining.progress import PretrainingLogger
from nnunetv2_factorizer.pretraining.task import Measure
from nnunetv2_factorizer.training.guard import Guard


class PretrainingBase(Guard):
    """Put first among the bases. A subclass says what is measured, and where in the network the body is.

    At the end `checkpoint_pretrained.pth` lies in the fold's folder, for fine-tuning; nnU-Net's own checkpoints there
    are for `--c`. Best is the one that has learned most.

    Where the variable `nnUNet_pretrained_checkpoint` names a checkpoint, of another pre-training for example, the body
    starts from what of it fits.
    """

    enable_deep_supervision = False
    _goes_on = False

    def names(self) -> tuple[str, str]:
        """Of what is measured, such as "order accuracy", and of what has learned nothing, such as "chance"."""
        raise NotImplementedError

    def body(self) -> nn.Module:
        """The network that is pre-trained, bare and without heads of the task."""
        raise NotImplementedError

    def initialize(self) -> None:
        if self.is_cascaded:
            raise UserError(
                f"{self.configuration_name} is the second stage of a cascade, which needs predictions of the first.",
                "Pre-train 2d, 3d_fullres or 3d_lowres. Weights for 3d_fullres fit into the second stage, too.",
            )
        self.logger.local_logger = PretrainingLogger(*self.names())
        super().initialize()
        # The chain: a pre-training is continued on other images. The plans may name a checkpoint for fine-tuning.
        if not self._goes_on and (path := given_checkpoint(plans={})):
            start_from(path, self, self.body())

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        self._goes_on = True
        super().load_checkpoint(filename_or_checkpoint)

    def log_learned(self, loss: float, measure: Measure, learned: float) -> None:
        """What nnU-Net wants to know of a validation; in place of Dice the share that is learned."""
        self.logger.log("mean_fg_dice", learned, self.current_epoch)
        self.logger.log("dice_per_class_or_region", [learned], self.current_epoch)
        self.logger.log("val_losses", loss, self.current_epoch)
        measured, unlearned = self.names()
        self.print_to_log_file(
            f"{measured} {measure.value:.4f}, {unlearned} {measure.unlearned:.4f}: {learned:.1%} learned "
            "(nnU-Net's log calls this share pseudo Dice)"
        )

    def on_train_end(self) -> None:
        super().on_train_end()
        if self.local_rank == 0 and not self.disable_checkpointing:
            write_pretrained(Path(self.output_folder), self._pretrained())
            self.print_to_log_file(
                f"For fine-tuning: -pretrained_weights {Path(self.output_folder) / PRETRAINED} "
                f"({self._seconds():.0f} s of pre-training)"
            )

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Nothing: there is nothing to segment."""
        self.print_to_log_file("A pre-training segments nothing, so no predictions are made for validation.")

    def _pretrained(self) -> dict[str, Any]:
        """The checkpoint for fine-tuning."""
        layout = super().build(
            self.plans_manager,
            self.configuration_manager,
            self.num_input_channels,
            self.label_manager.num_segmentation_heads,
            True,
        )
        architecture = self.architecture_of(self.configuration_manager)
        given = {name: value for name, value in self.my_init_kwargs.items() if name != "device"}
        return {
            "network_weights": fine_tuning_weights(self.body(), layout),
            "init_args": {**given, RECORD_KEY: make_record(architecture)},
            "trainer_name": type(self).__name__,
            "current_epoch": self.current_epoch,
            "pretraining_seconds": self._seconds(),
            ADAPTATION_KEY: adaptation_plan(
                layout,
                architecture,
                self.configuration_name,
                self.configuration_manager.configuration,
                self.num_input_channels,
            ),
        }

    def _seconds(self) -> float:
        """Of all epochs, also those before a `--c`."""
        log = self.logger.get_value
        starts, ends = (log(f"epoch_{end}_timestamps", step=None) for end in ("start", "end"))
        return float(sum(end - start for start, end in zip(starts, ends, strict=False)))
