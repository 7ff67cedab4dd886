"""DFC (Kim, Kanezaki, Tanaka, "Unsupervised learning of image segmentation based on differentiable feature
clustering", IEEE TIP 2020): MS-Former's ancestor, which is MS-Former without a transformer.

Two convolutions of 3 x 3 pixels with ReLU and batch norm make features of each pixel. A third one of a single pixel,
with batch norm, makes the scores of `WIDTH` labels. The batch norm gives all labels the same chance at the start.

    L = L_ce + mu L_con,    mu = 1

with the cross-entropy to the own labels and the continuity of the scores (`losses.py`).

Ours: at most as many iterations as MS-Former takes, so that the two differ in the network and the losses alone. The
paper trains for up to 1000.
"""

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nnunetv2_factorizer.segment.losses import continuity_loss
from nnunetv2_factorizer.segment.method import Segments
from nnunetv2_factorizer.segment.training import Step, train_on_image

WIDTH = 100
"""Channels, and labels at the start."""

CONTINUITY = 1.0
"""mu."""


def segment(image: NDArray, k: int, seed: int, device: torch.device) -> Segments:
    """Segments of `(C, H, W)`; the training ends when at most `k` remain."""
    return train_on_image(make, image, k, seed, device)


def make(shape: tuple[int, ...]) -> tuple[nn.Module, Step]:
    """The network for images of this shape `(C, H, W)`, and its scores with the continuity loss."""
    network = nn.Sequential(
        nn.Conv2d(shape[0], WIDTH, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(WIDTH),
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(WIDTH),
        nn.Conv2d(WIDTH, WIDTH, 1), nn.BatchNorm2d(WIDTH),
    )  # fmt: skip

    def step(image: Tensor) -> tuple[Tensor, Tensor]:
        scores = network(image)
        return scores, CONTINUITY * continuity_loss(scores)

    return network, step
