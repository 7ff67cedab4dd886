"""When a step of a pre-training is done: its objective no longer changes."""

from math import isfinite

import torch
from torch import Tensor, nn


class StoppingRule(nn.Module):
    """Holds once each of the last `steps` losses lies within `tolerance` x |mean of all losses| of their own mean.

    It stays held until `restart`. What it remembers is in buffers, so that nnU-Net's `--c` goes on exactly, and
    data-parallel training makes them those of the first rank.

    Args:
        steps: of training.
        tolerance: of the mean of all losses since the start.
    """

    recent: Tensor
    total: Tensor
    observed: Tensor
    held_after: Tensor

    def __init__(self, steps: int, tolerance: float) -> None:
        super().__init__()
        self.tolerance = tolerance
        self.register_buffer("recent", torch.zeros(steps))
        self.register_buffer("total", torch.zeros((), dtype=torch.float64))
        self.register_buffer("observed", torch.zeros((), dtype=torch.int64))
        self.register_buffer("held_after", torch.zeros((), dtype=torch.int64))

    def observe(self, loss: float) -> None:
        """Tells a loss. One that is not finite is a step that was skipped."""
        if not isfinite(loss):
            return
        self.recent.copy_(self.recent.roll(-1))
        self.recent[-1] = loss
        self.total += loss
        self.observed += 1
        near = (self.recent - self.recent.mean()).abs() <= self.tolerance * (self.total / self.observed).abs()
        now = near.all() & (self.observed >= len(self.recent)) & (self.held_after == 0)
        self.held_after += now * self.observed

    @property
    def held(self) -> int:
        """After how many losses the rule held, 0 if it never did."""
        return int(self.held_after)

    def restart(self) -> None:
        """Forgets all losses."""
        for buffer in self.buffers():
            buffer.zero_()
