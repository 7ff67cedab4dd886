"""A network that sees an image at two scales, each with a context that the other should agree with.

    z_s = blocks(conv_3x3(x))            stride 1: patches of one pixel
    z_l = blocks(conv_3x3(x))            stride 2: patches of two pixels
    S   = [z_s, up(z_l)] W               scores (H x W x K), with K = d channels

with two blocks a branch and batch norm after each of them (Karimijafarbigloo et al., MS-Former, MIDL 2023, Eq. 3). The
paper's equation upsamples the branch of the small patches, which is the finer one already. As its code does, the
*coarse* one is upsampled here: a linear map to 4 d channels, of which each pixel gives four.

    L = L_ce + 2 L_inter + 1.2 L_intra

`L_inter` compares the context matrices of the last block of each branch. `L_intra` is about 8 x 8 tokens: the scores
after batch norm, without their last row and column and without their first, each cut into 64 patches, which a linear
map makes d numbers of. The paper compares all n x n pixels, its code these 64 tokens.

Ours: patches follow the size of the image (the code resizes every image to 257 x 257, which makes them 32 x 32), with
larger images averaged down to those 32; and one linear map for both sets of tokens, since the paper does not say. The
four pixels of a coarse one start with the same weights (Aitken et al., 2017, arXiv 1707.02937): with weights drawn for
each, flat parts of an image came out as a checkerboard of two labels. What a block is, is the method's.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.network.layers import PointwiseLinear
from nnunetv2_factorizer.segment.losses import inter_scale_loss, intra_scale_loss
from nnunetv2_factorizer.segment.training import Step

BLOCKS = 2
TOKENS = 8
"""On each axis."""

LARGEST_PATCH = 32
INTER, INTRA = 2.0, 1.2
"""The weights of the losses, from the paper's grid search on skin images; the cross-entropy has 1."""

MakeBlock = Callable[[int], nn.Module]
"""From d to a block: `(1, d, H, W)` to the same and its context matrix `(..., d', e)`."""


def make_two_scales(make_block: MakeBlock, width: int, shape: tuple[int, ...]) -> tuple[nn.Module, Step]:
    """The network for images of this shape `(C, H, W)`, and its scores with both consistency losses."""
    network = TwoScales(make_block, width, shape)

    def step(image: Tensor) -> tuple[Tensor, Tensor]:
        scores, (small, large) = network(image)
        inter, intra = inter_scale_loss(small, large), intra_scale_loss(*network.tokens(scores))
        return scores, INTER * inter + INTRA * intra

    return network, step


class TwoScales(nn.Module):
    """`(1, C, H, W)` to scores `(1, d, H, W)` and the two context matrices, small patches first."""

    def __init__(self, make_block: MakeBlock, width: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch(make_block, shape[0], width, stride) for stride in (1, 2))
        self.expand = PointwiseLinear(width, 4 * width)
        with torch.no_grad():
            for weight in self.expand.parameters():  # pixel_shuffle makes a channel of four in a row
                weight.copy_(weight[::4].repeat_interleave(4, 0))
        self.fuse = PointwiseLinear(2 * width, width, bias=False)
        patch = (_patch(shape[1]), _patch(shape[2]))
        self.patches = (TOKENS * patch[0], TOKENS * patch[1])
        self.norm = nn.BatchNorm2d(width)
        self.project = nn.Conv2d(width, width, patch, stride=patch)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        (small, large), contexts = zip(*(branch(x) for branch in self.branches), strict=True)
        finer = functional.pixel_shuffle(self.expand(large), 2)[:, :, : x.shape[2], : x.shape[3]]
        return self.fuse(torch.cat([small, finer], 1)), list(contexts)

    def tokens(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """`A_1`, `A_2` `(64, d)`: of the scores, and of the scores moved by one pixel down and right."""
        scores = self.norm(scores)
        first, second = (
            self.project(functional.adaptive_avg_pool2d(part, self.patches))[0].flatten(1).T
            for part in (scores[:, :, 1:, 1:], scores[:, :, :-1, :-1])
        )
        return first, second


def _patch(pixels: int) -> int:
    """The pixels of one of the `TOKENS` patches of an axis, without its last pixel."""
    return min(LARGEST_PATCH, max(1, (pixels - 1) // TOKENS))


class Branch(nn.Module):
    """`(1, C, H, W)` at one scale to `(1, d, H / stride, W / stride)`, and the context matrix of its last block."""

    def __init__(self, make_block: MakeBlock, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, width, 3, stride=stride, padding=1)
        self.blocks = nn.ModuleList(make_block(width) for _ in range(BLOCKS))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(BLOCKS))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        context: Tensor | None = None
        z = self.embed(x)
        for block, norm in zip(self.blocks, self.norms, strict=True):
            z, context = block(z)
            z = norm(z)
        assert context is not None
        return z, context
