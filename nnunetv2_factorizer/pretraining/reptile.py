"""MetaMedSeg: Reptile over labelled data sets, with volumetric tasks (Farshad et al.).

Of L tasks, each a few labelled patches of a binary data set (`reptile_tasks`), each trains a copy theta_l of the
network theta for k steps. Then

    theta <- theta + beta sum_l w_l (theta_l - theta)
    AW:   w_l = 1 / L
    IDW:  w_l = 1 / sum_i (theta_{l,i} - theta_i)^2, then w_l <- w_l / sum_j w_j          (Eq. 2)
    loss: weighted cross-entropy; or - log(2 IoU / (IoU + 1)) of a soft IoU, which is - log Dice; or their sum

The paper prints w_{l,i} below Eq. 2, which should be theta_{l,i}. Its introduction means the distance from the mean of
the other copies, its formula that from theta; both are here.

Ours, where the paper leaves it open or its value does not work:

- An inner step is nnU-Net's training step (mixed precision, clipping) with SGD and momentum 0.9; k = 10.
- beta = 1 with a linear decay to 0, as in Reptile. The paper's beta = 0.01 hardly moves theta, and its decay by 0.7 in
  every other meta-epoch leaves nothing of it after 30 of 100.
- Foreground counts as many times more as it is rarer in the batch, at most 10 times.
- The distances of IDW are computed in float64, without the heads, and with an epsilon.
- nnU-Net's normalisation in place of the paper's. There is no augmentation, as in the paper.
- The network has one input channel and one output. For fine-tuning its stem is spread over the channels of the first
  data set, and its heads are new.
"""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any, ClassVar

import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.adapt import HEADS
from nnunetv2_factorizer.pretraining.base import PretrainingBase
from nnunetv2_factorizer.pretraining.reptile_sources import VARIABLE, find_pairs, further_pairs
from nnunetv2_factorizer.pretraining.reptile_tasks import MetaTask, TaskSampler
from nnunetv2_factorizer.pretraining.reptile_update import WEIGHTINGS, meta_update
from nnunetv2_factorizer.pretraining.task import Batch, Measure
from nnunetv2_factorizer.training.bare import bare
from nnunetv2_factorizer.training.schedule import ByIteration

START_KEY = "nnunetv2_factorizer_reptile_start"
"""The key of what we add to nnU-Net's `init_args`: Dice on unseen patches, trained from the start of the training."""


class Reptile(PretrainingBase):
    """Meta-training: one iteration of nnU-Net is one meta-step, in which each of L tasks trains a copy.

    Further data sets are named by the variable `nnUNet_reptile_datasets`. What is drawn depends on the number of the
    meta-step alone, so a training that goes on (`--c`) ends like one that was not interrupted.
    """

    num_epochs = 50
    num_iterations_per_epoch = 10
    num_val_iterations_per_epoch = 10
    save_every = 5
    beta: float = 1.0
    """Of the first meta-step."""
    tasks: int = 5
    """L, of a meta-step."""
    shots: int = 15
    """K, of a task."""
    standard: ClassVar[bool] = False
    """A task is K random patches of a binary data set; else it is volumetric: evenly spaced in one volume."""
    weighting: ClassVar[str] = "AW"
    """Also "IDW", and "IDW from the others" for the distance from the mean of the other copies."""
    inner_steps: int = 10
    """k."""
    initial_lr = 0.01
    """Of the inner steps."""
    momentum: float = 0.9
    weight_decay = 0.003
    loss_terms: ClassVar[tuple[str, ...]] = ("BCE",)
    """One or both of "BCE" and "IoU"."""
    seed: int = 12345
    _meta_step = 0

    def names(self) -> tuple[str, str]:
        return f"Dice on unseen patches after {self.inner_steps} steps", "from the start of the training"

    def body(self) -> nn.Module:
        return bare(self.network)

    @classmethod
    def build(
        cls,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool,
    ) -> nn.Module:
        """One channel in, the logit of the foreground out."""
        return super().build(plans_manager, configuration_manager, 1, 1, False)

    def initialize(self) -> None:
        if self.is_ddp:
            raise UserError(
                f"{type(self).__name__} trains on one GPU: its tasks have few patches.",
                "Leave out -num_gpus, or set it to 1.",
            )
        super().initialize()

    def configure_optimizers(self) -> tuple[Optimizer, ByIteration]:
        """Of the inner steps, at a constant learning rate."""
        optimizer = SGD(
            self.network.parameters(), self.initial_lr, self.momentum, weight_decay=self.weight_decay, nesterov=True
        )
        return optimizer, ByIteration(optimizer, lambda _: 1.0, 1)

    def _build_loss(self) -> nn.Module:
        return self.refusing_non_finite(BinaryLoss(self.loss_terms))

    def get_dataloaders(self) -> tuple[Iterator[list[MetaTask]], Iterator[MetaTask]]:
        """Tasks of the meta-steps that are left, and tasks for validation, the same in every epoch."""
        training, validation = self._samplers()
        first = self.current_epoch * self.num_iterations_per_epoch

        def generator(*numbers: int) -> np.random.Generator:
            return np.random.default_rng([self.seed, *numbers])

        def of_training() -> Iterator[list[MetaTask]]:
            for step in count(first):
                yield [training.draw(generator(0, step, task)) for task in range(self.tasks)]

        def of_validation() -> Iterator[MetaTask]:
            for number in count():
                yield validation.draw(generator(1, number % self.num_val_iterations_per_epoch), with_unseen=True)

        return of_training(), of_validation()

    def _samplers(self) -> tuple[TaskSampler, TaskSampler]:
        """Of the first data set that of training has the cases of the fold, that of validation the others."""
        dataset = infer_dataset_class(self.preprocessed_dataset_folder)(self.preprocessed_dataset_folder)
        own = find_pairs(dataset, self.plans_manager.dataset_name, self.label_manager)
        others = further_pairs(self.plans_manager, self.configuration_name)
        samplers = []
        for cases in self.do_split():
            pairs = [pair for pair in (*(pair.only(cases) for pair in own), *others) if pair.cases]
            if len(pairs) < 2:
                raise UserError(
                    f"there is nothing to learn across: {self.plans_manager.dataset_name} has {len(pairs)} labelled "
                    f"label in one channel, and the variable {VARIABLE} names no other data set.",
                    f'Name data sets with other organs or images, such as {VARIABLE}="12 13", or pre-train without '
                    "labels.",
                )
            patch_size = tuple(self.configuration_manager.patch_size)
            samplers.append(
                TaskSampler(pairs, patch_size, self.shots, self.standard, self.inner_steps, self.batch_size)
            )
        lines = [f"{p.organ}, channel {p.channel}, label {p.label}: {len(p.cases)} cases" for p in samplers[0].pairs]
        self.print_to_log_file("Labels are read, each with each channel of its images:\n" + "\n".join(lines))
        return samplers[0], samplers[1]

    def on_train_start(self) -> None:
        super().on_train_start()
        if START_KEY not in self.my_init_kwargs:
            tasks = islice(self.dataloader_val, self.num_val_iterations_per_epoch)
            outputs = [self.validation_step(task) for task in tasks]
            self.my_init_kwargs[START_KEY] = float(np.mean([output["dice"] for output in outputs]))

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self._meta_step = self.current_epoch * self.num_iterations_per_epoch
        self.print_to_log_file(f"beta: {self._beta():.3g}; the learning rate is that of the inner steps")

    def train_step(self, batch: Sequence[MetaTask]) -> dict[str, Any]:  # type: ignore[override]
        """A meta-step."""
        theta = [p.detach().clone() for p in self.network.parameters()]
        moves, losses = [], []
        for task in batch:
            losses.append(self._inner_loop(task))
            moves.append([p.detach() - t for p, t in zip(self.network.parameters(), theta, strict=True)])
            self._set(theta)
        of_body = [HEADS not in name for name, _ in bare(self.network).named_parameters()]
        without_heads = [[m for m, is_of_body in zip(move, of_body, strict=True) if is_of_body] for move in moves]
        weights = WEIGHTINGS[self.weighting](without_heads)
        self._set(meta_update(theta, moves, weights, self._beta()))
        self._meta_step += 1
        return {"loss": np.mean(losses)}

    def on_validation_epoch_start(self) -> None:
        """Nothing: a validation step trains, too."""

    def validation_step(self, batch: MetaTask) -> dict[str, Any]:  # type: ignore[override]
        """Trains a copy as in a meta-step; what counts is how well it does on patches that it has not seen."""
        assert batch.unseen is not None
        theta = [p.detach().clone() for p in self.network.parameters()]
        self.network.train()
        with torch.enable_grad():
            self._inner_loop(batch)
        loss, dice = self._evaluate(batch.unseen)
        self._set(theta)
        return {"loss": loss, "dice": dice}

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        loss, dice = (float(np.mean([output[name] for output in val_outputs])) for name in ("loss", "dice"))
        start = self.my_init_kwargs[START_KEY]
        self.log_learned(loss, Measure(dice, start), (dice - start) / max(1 - start, 1e-6))

    def _inner_loop(self, task: MetaTask) -> float:
        """Trains the network for k steps, with an optimiser that knows nothing of other tasks; gives the mean loss."""
        self.optimizer.state.clear()
        losses = [float(super(Reptile, self).train_step(part(task.shots, index))["loss"]) for index in task.steps]
        self.optimizer.state.clear()
        self.optimizer.zero_grad(set_to_none=True)
        return float(np.mean(losses))

    @torch.no_grad()
    def _evaluate(self, shots: Batch) -> tuple[float, float]:
        """Loss and Dice of the network over all shots."""
        self.network.eval()
        logits = []
        for index in np.array_split(np.arange(len(shots["data"])), -(-len(shots["data"]) // self.batch_size)):
            with torch.autocast("cuda", enabled=self.device.type == "cuda"):
                logits.append(self.network(shots["data"][index].to(self.device)).float())
        outputs, target = torch.cat(logits), shots["target"].to(self.device)
        return self.loss(outputs, target).item(), dice_of(outputs, target)

    @torch.no_grad()
    def _set(self, theta: Sequence[Tensor]) -> None:
        for p, t in zip(self.network.parameters(), theta, strict=True):
            p.copy_(t)

    def _beta(self) -> float:
        """Of the present meta-step."""
        return self.beta * (1 - self._meta_step / (self.num_epochs * self.num_iterations_per_epoch))


class ReptileIDW(Reptile):
    """Copies that moved far count less."""

    weighting = "IDW"


class BinaryLoss(nn.Module):
    """Logits and targets `(B, 1, *S)`; targets are 1 and 0, and -1 where nothing is known."""

    most = 10.0
    """Times that foreground counts more than background."""

    def __init__(self, terms: Sequence[str]) -> None:
        super().__init__()
        self.terms = terms

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        x, y, known = outputs.float(), (target > 0).float(), (target >= 0).float()
        loss = x.new_zeros(())
        if "BCE" in self.terms:
            number = y.sum()
            rarer = ((known.sum() - number) / number.clamp_min(1)).clamp(1, self.most)
            weight = known * torch.where(y > 0, rarer, 1.0)
            errors = functional.binary_cross_entropy_with_logits(x, y, reduction="none")
            loss = loss + (weight * errors).sum() / weight.sum().clamp_min(1)
        if "IoU" in self.terms:
            p = x.sigmoid() * known
            both = (p * y).sum()
            iou = (both + 1) / (p.sum() + y.sum() - both + 1)  # 1 where there is nothing and nothing is found
            loss = loss - torch.log(2 * iou / (iou + 1))
        return loss


def part(shots: Batch, index: np.ndarray) -> Batch:
    """Some of the shots, as nnU-Net's training step takes them."""
    return {
        "data": shots["data"][index],
        "target": shots["target"][index],
        "keys": [shots["keys"][i] for i in index],
    }


def dice_of(outputs: Tensor, target: Tensor) -> float:
    """Of the foreground, over all voxels of which something is known."""
    found, there = (outputs > 0) & (target >= 0), target > 0
    return 2 * int((found & there).sum()) / max(1, int(found.sum()) + int(there.sum()))
