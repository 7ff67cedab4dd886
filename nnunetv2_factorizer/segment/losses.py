"""The losses of segmentation without labels: each is a formula, none has weights of its own.

- Pseudo-labels (Kanezaki, ICASSP 2018): cross-entropy to the label that the network itself gives most.
- Continuity (Kim, Kanezaki, Tanaka, IEEE TIP 2020): pixels side by side should get the same scores.
- Inter-scale and intra-scale (Karimijafarbigloo et al., MS-Former, MIDL 2023): two scales should see the same context,
  and each part of the image should be most like itself.
"""

import torch
from torch import Tensor
from torch.nn import functional


def pseudo_label_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """`L_ce`, the mean cross-entropy of scores `(B, K, *S)` to labels `(B, *S)`: their own argmax."""
    return functional.cross_entropy(scores, labels)


def continuity_loss(scores: Tensor) -> Tensor:
    """The mean L1 difference of scores `(B, K, H, W)` of pixels side by side, one axis plus the other."""
    down, right = scores.diff(dim=2), scores.diff(dim=3)
    return down.abs().mean() + right.abs().mean()


def inter_scale_loss(small: Tensor, large: Tensor) -> Tensor:
    """`L_inter`, `1 - cos` of the context matrices `(..., d, e)` of the two scales: row by row, then the mean.

    The paper's equation has one cosine of whole matrices, and prints `G^l` transposed in it; its code goes row by row.
    """
    return 1 - functional.cosine_similarity(small, large, dim=-1).mean()


def intra_scale_loss(first: Tensor, second: Tensor) -> Tensor:
    """`L_intra`, the mean L1 distance of `softmax(A_1 A_2^T / sqrt(n))` to the identity.

    Args:
        first: `A_1`, n tokens `(n, d)` of the image.
        second: `A_2`, the same of the image moved by one pixel.
    """
    number = len(first)
    likeness = (first @ second.T / number**0.5).softmax(-1)
    return (likeness - torch.eye(number, device=likeness.device)).abs().mean()
