"""Learning rate of the paper: linear warm-up, then a cosine to zero, one value an iteration."""

import math
import warnings
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

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


def warmup_cosine(step: int, total_steps: int, warmup: int | None = None) -> float:
    """The share of the peak in iteration `step`, counted from 0, of a training of `total_steps` iterations.

    Args:
        step: the iteration.
        total_steps: of the training; the share stays 0 after it.
        warmup: iterations of the linear warm-up, default `warmup_steps`.
    """
    step, warmup = min(step, total_steps), warmup_steps(total_steps) if warmup is None else warmup
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total_steps - warmup)))


class ByIteration(LambdaLR):
    """Multiplies the learning rate of each parameter group, iteration by iteration, under nnU-Net's `step(epoch)`.

    nnU-Net calls that at the start of an epoch. The iteration is derived from the epoch there, so that a resumed
    training (`--c`) goes on where it stopped.
    """

    def __init__(self, optimizer: Optimizer, multiplier: Callable[[int], float], num_iterations_per_epoch: int) -> None:
        self.num_iterations_per_epoch = num_iterations_per_epoch
        super().__init__(optimizer, multiplier)

    def step(self, epoch: int | None = None) -> None:
        """Goes to the first iteration of `epoch`; without one, to the next iteration."""
        if epoch is None:
            super().step()
            return
        with warnings.catch_warnings():
            # PyTorch advises against going to an epoch, which is nnU-Net's way, and before the first step.
            warnings.simplefilter("ignore", UserWarning)
            super().step(epoch * self.num_iterations_per_epoch)
