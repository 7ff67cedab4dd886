"""What a method of segmentation is, and what it finds."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from numpy.typing import NDArray

MOST_LABELS = 2**16 - 1
"""nnU-Net's writers of label maps take 16 bits a pixel, and 0 is no label of ours."""


@dataclass(frozen=True)
class Segments:
    """What a method finds in an image.

    Attributes:
        labels: `(*S)`, whole numbers; the same number is the same segment. Which numbers they are means nothing.
        iterations: of the training; 0 where nothing is trained.
        stopped: why the training ended: `labels`, few enough remained; `iterations`, the last one was done;
            `diverged`, the loss was no finite number any more. Empty where nothing is trained.
    """

    labels: NDArray
    iterations: int = 0
    stopped: str = ""


@dataclass(frozen=True)
class Method:
    """A method of segmentation.

    Attributes:
        segment: called with the image `(C, *S)`, float32, standardised (see `images.read_image`), `k`, `seed` and the
            device; `k` segments, or for what is trained: the number of segments at which the training stops.
        axes: most axes S of an image that it can look at, 2 or 3; volumes go slice by slice where it is 2, and 2 is
            for the methods that train a network.
        smallest: pixels that each of these axes needs at least.
        most: largest `k`.
    """

    segment: Callable[[NDArray, int, int, torch.device], Segments]
    axes: int
    smallest: int = 1
    most: int = MOST_LABELS

    @property
    def trained(self) -> bool:
        """Whether it trains a network on each image; only such a method uses the device."""
        return self.axes == 2
