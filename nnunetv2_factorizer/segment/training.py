"""The loop of the methods that train a network on the one image: it learns the labels that it gives itself.

Kanezaki, "Unsupervised image segmentation by backpropagation", ICASSP 2018; MS-Former (MIDL 2023) took it over with
its numbers. The network gives each pixel scores of many labels. Its largest score is the label of a pixel, and the
network is trained to give it a larger one still, together with losses that hold pixels together. So labels die out.
The training ends when at most as many remain as one wants, or after `ITERATIONS`.

SGD with rate 0.1 and momentum 0.9, as both papers have it. Matrix products are in bfloat16 on a GPU.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nnunetv2_factorizer.segment.losses import pseudo_label_loss
from nnunetv2_factorizer.segment.method import Segments

ITERATIONS = 50
LEARNING_RATE = 0.1
MOMENTUM = 0.9

SMALLEST = 4
"""Pixels a side: an image at half its size must have some beside each other."""

Step = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From the image `(1, C, H, W)` to the scores `(1, K, H, W)` and the losses beside the pseudo-labels', as a sum."""


def train_on_image(
    make: Callable[[tuple[int, ...]], tuple[nn.Module, Step]],
    image: NDArray,
    fewest: int,
    seed: int,
    device: torch.device,
) -> Segments:
    """Makes a network and trains it on an image.

    Args:
        make: gives the network for an image of this shape `(C, H, W)`, and what it is asked.
        image: `(C, H, W)`.
        fewest: the training ends when at most so many labels remain.
        seed: of the network's first weights. Nobody else's random numbers change.
        device: where to train.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, step = make(image.shape)
    network.to(memory_format=torch.channels_last).to(device)
    pixels = torch.from_numpy(np.ascontiguousarray(image))[None].to(device)
    return _train(step, network.parameters(), pixels.contiguous(memory_format=torch.channels_last), fewest)


def _train(step: Step, weights: Iterable[nn.Parameter], image: Tensor, fewest: int) -> Segments:
    optimizer = torch.optim.SGD(weights, LEARNING_RATE, MOMENTUM)
    labels, iterations, stopped = None, 0, "iterations"
    while iterations < ITERATIONS:
        iterations += 1
        with torch.autocast(image.device.type, torch.bfloat16, enabled=image.is_cuda):
            scores, others = step(image)
            found = scores.argmax(1)
            loss = pseudo_label_loss(scores, found) + others
        if labels is not None and not loss.isfinite():
            stopped = "diverged"  # the labels before are the last that mean anything
            break
        labels = found
        if len(labels.unique()) <= fewest:
            stopped = "labels"
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert labels is not None
    return Segments(labels[0].cpu().numpy(), iterations, stopped)
