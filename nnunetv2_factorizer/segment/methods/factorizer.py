"""A small Factorizer of two window sizes with MS-Former's losses. Ours: nobody has published it.

The network is that of `two_scales.py` with Factorizer blocks. Windows have 8 pixels a side on both grids, so that they
cover 8 and 16 pixels of the image. The factorization of one head in one window, of rank 1, is `X ~ u v^T`: u says which
channels belong together, v where. u is what attention's context matrix is, and does not say where. So

    G = mean of u u^T over the windows of a head          (E x E, |u| = 1)

and the rows of the G of all heads are compared between the two scales. A single u cannot be: each window has its own.
The mean of `u u^T` forgets neither the number of patterns among the windows nor their weights, unlike the mean of u.

u is found in the block's own output: a matrix `u (u^T X)` with `X >= 0` has the row sums of a multiple of u. That holds
for windows of one grid; windows on two grids are averaged, which has another rank. So windows are not shifted here, and
the depthwise convolution before each block is what sees beyond their borders.
"""

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.factorization import LocalMatricize
from nnunetv2_factorizer.network.block import FactorizerBlock
from nnunetv2_factorizer.network.depthwise import depthwise
from nnunetv2_factorizer.network.settings import BlockSettings
from nnunetv2_factorizer.segment.method import Segments
from nnunetv2_factorizer.segment.training import Step, train_on_image
from nnunetv2_factorizer.segment.two_scales import make_two_scales

WIDTH = 96
"""About MS-Former's d, in whole heads."""

HEAD = 8
"""E."""

WINDOW = (8, 8)
"""Pixels of a branch."""


def segment(image: NDArray, k: int, seed: int, device: torch.device) -> Segments:
    """Segments of `(C, H, W)`; the training ends when at most `k` remain."""
    return train_on_image(make, image, k, seed, device)


def make(shape: tuple[int, ...]) -> tuple[nn.Module, Step]:
    """The network for images of this shape `(C, H, W)`, and what it is asked."""
    return make_two_scales(BlockWithContext, WIDTH, shape)


class BlockWithContext(nn.Module):
    """A Factorizer block: `(1, d, H, W)` to the same and the `G` `(d / E, E, E)` of its heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = FactorizerBlock(
            BlockSettings(
                channels=width,
                conv_op=nn.Conv2d,
                matricize="local",
                size=None,
                window=WINDOW,
                head_dim=HEAD,
                rank=1,
                num_iters=5,
                solver="hals",
                mlp_ratio=4,
                dropout=0.0,
                nmf=True,
                local_path="depthwise",
                kernel=(3, 3),
            )
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        block = self.block
        assert block.local_path is not None
        x = depthwise(block.local_path, x, residual=True)
        mixed = block.mixer(block._before(x))
        return block._after(x, mixed), head_contexts(mixed)


def head_contexts(mixed: Tensor) -> Tensor:
    """`G` `(heads, E, E)` of the output `(1, d, H, W)` of the factorization."""
    columns = LocalMatricize(HEAD, WINDOW)(mixed.float())  # (1, windows, heads, E, pixels)
    u = functional.normalize(columns.sum(-1), dim=-1)
    return (u.unsqueeze(-1) * u.unsqueeze(-2)).mean((0, 1))
