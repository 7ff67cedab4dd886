"""Pre-training in nnU-Net's own training loop: its loader, augmentation, mixed precision, compiling and data parallel.

A mix-in, put first among the bases: `class nnUNetTrainer_PretrainMAE(Pretraining, MuonRecipe)`.
"""

from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
import torch
import torch.distributed as dist
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.pretraining.base import PretrainingBase
from nnunetv2_factorizer.pretraining.places import Unlabelled
from nnunetv2_factorizer.pretraining.task import Batch, Measure, Task, TaskNetwork
from nnunetv2_factorizer.training.bare import bare


class Pretraining(PretrainingBase):
    """Trains the network of the plans, or of a family, on a `task` without labels.

    At the end `checkpoint_pretrained.pth` lies in the fold's folder, for fine-tuning; nnU-Net's own checkpoints there
    hold the heads of the task as well.
    """

    task: ClassVar[type[Task]]
    oversample_foreground_percent = 0.0

    def names(self) -> tuple[str, str]:
        return self.task.measured, self.task.unlearned

    def body(self) -> nn.Module:
        return self._task_network().body

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
            plans_manager,
            configuration_manager,
            num_input_channels,
            cls.task.output_channels(num_input_channels, num_output_channels),
            False,
        )
        return TaskNetwork(body, cls.task(body, num_input_channels, tuple(configuration_manager.patch_size)))

    def initialize(self) -> None:
        labels = {name: value for name, value in self.dataset_json["labels"].items() if name != "ignore"}
        self.label_manager = self.plans_manager.get_label_manager({**self.dataset_json, "labels": labels})
        super().initialize()

    def get_tr_and_val_datasets(self) -> tuple[Unlabelled, Unlabelled]:
        training, validation = super().get_tr_and_val_datasets()
        if len(training.identifiers) < self.task.cases:
            raise UserError(
                f"{self.preprocessed_dataset_folder} has {len(training.identifiers)} case for training; "
                f"{self.task.__name__} compares cases and needs {self.task.cases}.",
                "Add images (nnUNetv2_factorizer_unlabelled), or take a task that needs one: MAE.",
            )
        self.print_to_log_file("Labels, where there are any, are not read: this is a training without them.")
        return Unlabelled(training, self.task.parts), Unlabelled(validation, self.task.parts)

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> tuple[Any, ...]:  # noqa: N802
        rotation, *others, mirror_axes = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        if self.task.upright:
            rotation, mirror_axes = (0.0, 0.0), ()
        return rotation, *others, mirror_axes

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> Any:
        """nnU-Net's, without those that work on labels."""
        return super().get_training_transforms(*args, **(kwargs | {"regions": None}))

    def get_validation_transforms(self, *args: Any, **kwargs: Any) -> Any:
        return super().get_validation_transforms(*args, **(kwargs | {"regions": None}))

    def _build_loss(self) -> nn.Module:
        return self.refusing_non_finite(_Loss(self._task_network(), self.is_ddp))

    def on_train_epoch_start(self) -> None:
        message = self._task().start_epoch(self.current_epoch / self.num_epochs)
        if message is not None:
            self.print_to_log_file(message)
        super().on_train_epoch_start()

    def train_step(self, batch: Batch) -> dict[str, Any]:
        result = super().train_step(self._posed(batch))
        self._task().observe(float(result["loss"]))
        return result

    def validation_step(self, batch: Batch) -> dict[str, Any]:
        batch, task = self._posed(batch), self._task()
        with torch.autocast("cuda") if self.device.type == "cuda" else nullcontext():
            outputs = self.network(batch["data"])
            loss = self.loss(outputs, batch["target"])
        return {"loss": loss.item(), **task.measure(outputs, batch["target"])._asdict()}

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        loss, value, unlearned = self._means(val_outputs)
        measure = Measure(value, unlearned)
        self.log_learned(loss, measure, self._task().learned(measure))

    def on_epoch_start(self) -> None:
        if self._finished():
            raise _FinishedError
        super().on_epoch_start()

    def run_training(self) -> None:
        try:
            super().run_training()
        except _FinishedError:
            self.print_to_log_file(f"The stopping rule of {self.task.__name__} holds after epoch {self.current_epoch}.")
            self.on_train_end()

    def _task(self) -> Task:
        return self._task_network().task

    def _task_network(self) -> TaskNetwork:
        network = bare(self.network)
        assert isinstance(network, TaskNetwork)
        return network

    def _posed(self, batch: Batch) -> Batch:
        on_device = {name: batch[name].to(self.device, non_blocking=True) for name in ("data", "target")}
        return self._task().pose({**batch, **on_device})

    def _finished(self) -> bool:
        """The same on all ranks, whose losses differ."""
        answer = [self._task().finished]
        if self.is_ddp:
            dist.broadcast_object_list(answer)
        return answer[0]

    def _means(self, outputs: list[dict[str, float]]) -> tuple[float, float, float]:
        """Loss, value and what nothing learned would give, over the batches of all ranks."""
        rows: list[Any] = [[output["loss"], output["value"], output["unlearned"]] for output in outputs]
        if self.is_ddp:
            of_ranks: list[Any] = [None] * dist.get_world_size()
            dist.all_gather_object(of_ranks, rows)
            rows = [row for of_rank in of_ranks for row in of_rank]
        loss, value, unlearned = (float(mean) for mean in np.mean(rows, axis=0))
        return loss, value, unlearned


class _FinishedError(Exception):
    """Leaves nnU-Net's loop over the epochs."""


class _Loss(nn.Module):
    """The task's, as nnU-Net's training step calls it; data-parallel, every weight takes part in it."""

    def __init__(self, network: TaskNetwork, data_parallel: bool) -> None:
        super().__init__()
        self.task = network.task
        # A list hides the parameters from this module, of which nnU-Net takes none.
        self.parameters_in_ranks = [p for p in network.parameters() if p.requires_grad] if data_parallel else []

    def forward(self, outputs: Any, target: Any) -> Tensor:
        loss = self.task.loss(outputs, target)
        # In a step of a task that leaves a part of the network out, that would be an error of data-parallel training.
        for parameter in self.parameters_in_ranks:
            loss = loss + 0 * parameter.sum()
        return loss
