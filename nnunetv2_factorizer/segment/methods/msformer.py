"""MS-Former (Karimijafarbigloo, Azad, Kazerouni, Merhof, "MS-Former: multi-scale self-guided transformer for medical
image segmentation", MIDL 2023): a small transformer of two scales, trained on the image itself.

`two_scales.py` has the network's shape, its losses and what the paper prints otherwise than its code does. A block is

    y = z + E(LN(z)),    E = rho_q(Q) G,    G = rho_k(K)^T V
    z' = y + W_2 GELU(LN(h + DWConv_3x3(h))),    h = W_1 LN(y)

with one head: efficient attention (`network/linear_attention.py`), rho_k a softmax over the pixels, rho_q one over the
channels. G, `d x d`, is computed first, and is the context matrix of the block: nothing of the size of pixels times
pixels is ever made. The paper's code has d = 100 channels, four times as many in between, and as many labels as
channels at the start; so has this.

The paper calls the method MMCFormer once. The HM of its tables cannot come from the HM of its code, which is at most 1.
"""

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.network.layers import ChannelLayerNorm, PointwiseLinear
from nnunetv2_factorizer.network.linear_attention import context_matrix
from nnunetv2_factorizer.segment.method import Segments
from nnunetv2_factorizer.segment.training import Step, train_on_image
from nnunetv2_factorizer.segment.two_scales import make_two_scales

WIDTH = 100
"""d."""

MLP_RATIO = 4


def segment(image: NDArray, k: int, seed: int, device: torch.device) -> Segments:
    """Segments of `(C, H, W)`; the training ends when at most `k` remain."""
    return train_on_image(make, image, k, seed, device)


def make(shape: tuple[int, ...]) -> tuple[nn.Module, Step]:
    """The network for images of this shape `(C, H, W)`, and what it is asked."""
    return make_two_scales(EfficientBlock, WIDTH, shape)


class EfficientBlock(nn.Module):
    """`(1, d, H, W)` to the same and `G` `(1, d, d)`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = MLP_RATIO * width
        self.norm1, self.norm2, self.norm3 = (ChannelLayerNorm(size) for size in (width, width, hidden))
        self.query_key_value = PointwiseLinear(width, 3 * width)
        self.out = PointwiseLinear(width, width)
        self.widen, self.narrow = PointwiseLinear(width, hidden), PointwiseLinear(hidden, width)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = self.query_key_value(self.norm1(z)).flatten(2).mT.chunk(3, -1)
        context = context_matrix(key, value)
        attended = query.softmax(-1).to(context.dtype) @ context
        y = z + self.out(attended.mT.unflatten(2, z.shape[2:]))
        h = self.widen(self.norm2(y))
        return y + self.narrow(functional.gelu(self.norm3(h + self.mix(h)))), context
