"""Learning rate of the paper: linear warm-up, then a cosine to zero, one value an iteration."""

import math

from torch.optim import Optimizer

PAPER_STEPS = 100_000
PAPER_PEAK = 1e-4
PAPER_WARMUP_STEPS = 2_000
SHORTEST_STEPS = 1_000


def peak_learning_rate(total_steps: int) -> float:
    """The paper's 1e-4 at 100,000 steps and more; shorter runs take larger steps, up to 1e-3 at 1,000 steps.

    The square root of the length is ours. It meets both ends: the paper's value, and the one that the hippocampus
    benchmark of 1,000 iterations trains with.
    """
    return PAPER_PEAK * math.sqrt(PAPER_STEPS / min(max(total_steps, SHORTEST_STEPS), PAPER_STEPS))


def warmup_steps(total_steps: int) -> int:
    """The paper's 2,000 steps, but never more than a quarter of the training."""
    return min(PAPER_WARMUP_STEPS, total_steps // 4)


def learning_rate(step: int, total_steps: int) -> float:
    """The learning rate of iteration `step`, counted from 0, of a training of `total_steps` iterations."""
    peak = peak_learning_rate(total_steps)
    warmup = warmup_steps(total_steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total_steps - warmup)))


class WarmupCosineScheduler:
    """Sets the learning rate of an optimiser by iteration, under nnU-Net's call `step(epoch)` once an epoch.

    The iteration is derived from the epoch, so that a resumed training (`--c`) goes on where it stopped.
    """

    def __init__(self, optimizer: Optimizer, num_epochs: int, num_iterations_per_epoch: int) -> None:
        self.optimizer = optimizer
        self.num_iterations_per_epoch = num_iterations_per_epoch
        self.total_steps = num_epochs * num_iterations_per_epoch
        self.step(0)

    def step(self, epoch: int) -> None:
        """Goes to the first iteration of `epoch`."""
        self._go_to(epoch * self.num_iterations_per_epoch)

    def step_iteration(self) -> None:
        """Goes to the next iteration."""
        self._go_to(self.current_step + 1)

    def _go_to(self, step: int) -> None:
        self.current_step = step
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(min(step, self.total_steps), self.total_steps)
