"""The forty volumes, windows and heads on which the operator is checked."""

from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.measure import device

BATCH = 2


class Case(NamedTuple):
    """A volume and how it is mixed."""

    size: tuple[int, ...]
    channels: int
    window: tuple[int, ...]
    head_dim: int
    shifted: bool
    num_iters: int = 5

    def __str__(self) -> str:
        size, window = ("x".join(map(str, numbers)) for numbers in (self.size, self.window))
        grids = "2 grids" if self.shifted else "1 grid"
        return f"{size}, {self.channels} channels, windows {window}, heads {self.head_dim}, {grids}, T {self.num_iters}"

    def volumes(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """An upstream gradient and an image `(B, *S, C)`, whose first half is zero in the first image."""
        generator = torch.Generator().manual_seed(0)
        grad, x = torch.randn(2, BATCH, *self.size, self.channels, generator=generator)
        x[0, : self.size[0] // 2] = 0
        return grad.to(device(), dtype), x.to(device(), dtype)

    def settings(self) -> tuple[Any, ...]:
        """What `mix` and `mix_backward` take after the volumes."""
        v0 = torch.rand(prod(self.window), 1, generator=torch.Generator().manual_seed(1)).to(device())
        return v0, self.head_dim, list(self.window), self.shifted, self.num_iters


USUAL = Case((32, 32, 32), 32, (8, 8, 8), 8, True)
"""Windows and heads of nnU-Net's training of a Factorizer."""

# A line a kernel to compile, its volumes in it: the sizes cost no compilation.
CASES = [
    *(USUAL, Case((64, 64, 64), 32, (8, 8, 8), 8, True), Case((8, 8, 8), 512, (8, 8, 8), 8, True)),
    *(Case((16, 24, 40), 64, (8, 8, 8), 8, True), Case((20, 13, 9), 32, (8, 8, 8), 8, True)),
    *(Case((128, 128, 16), 32, (8, 8, 8), 8, True), Case((9, 8, 15), 40, (8, 8, 8), 8, True)),
    *(Case((32, 32, 32), 32, (8, 8, 8), 8, False), Case((20, 13, 9), 32, (8, 8, 8), 8, False)),
    *(Case((16, 16, 16), 16, (4, 4, 4), 4, True), Case((13, 10, 7), 12, (4, 4, 4), 4, True)),
    *(Case((10, 14, 10), 40, (5, 7, 5), 20, True), Case((11, 13, 9), 20, (5, 7, 5), 20, True)),
    Case((5, 7, 5), 256, (5, 7, 5), 8, True),
    *(Case((16, 16, 16), 64, (8, 8, 8), 32, True), Case((24, 20, 12), 32, (8, 8, 8), 32, True)),
    Case((24, 24, 24), 64, (8, 8, 8), 16, True),
    *(Case((6, 32, 24), 32, (1, 8, 8), 8, True), Case((5, 20, 13), 16, (1, 8, 8), 8, True)),
    Case((7, 24, 24), 32, (2, 8, 8), 8, True),
    *(Case((9, 10, 14), 6, (3, 5, 7), 3, True), Case((7, 11, 13), 12, (3, 5, 7), 3, True)),
    *(Case((12, 12, 12), 4, (4, 4, 4), 1, True), Case((9, 7, 5), 3, (4, 4, 4), 1, True)),
    *(Case((10, 10, 10), 8, (2, 2, 2), 2, True, 1), Case((7, 9, 5), 6, (2, 2, 2), 2, True, 1)),
    *(Case((64, 64), 32, (8, 8), 8, True), Case((50, 37), 64, (8, 8), 8, True)),
    Case((256, 256), 32, (16, 16), 8, True),
    Case((20, 23), 10, (7, 5), 5, False, 2),
    *(Case((256,), 32, (16,), 8, True), Case((100,), 16, (16,), 8, True)),
    Case((23,), 4, (5,), 1, True, 3),
    # Global: one window, as large as the volume.
    *(Case((8, 8, 8), 64, (8, 8, 8), 8, False), Case((5, 7, 5), 64, (5, 7, 5), 8, False)),
    *(Case((16, 16, 16), 32, (16, 16, 16), 8, False), Case((32, 32, 32), 32, (32, 32, 32), 8, False)),
    *(Case((40, 56, 40), 32, (40, 56, 40), 8, False), Case((64, 64), 32, (64, 64), 8, False)),
    Case((100,), 16, (100,), 8, False),
]
