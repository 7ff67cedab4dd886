"""Augmented predictions of an image fused to one: the weighted box fusion of SISSI, for soft masks.

    X = sum_i C_i X_i / sum_i C_i

There, X_i is a coordinate of a box in view i and C_i the confidence of the box. Here, X_i are the probabilities of a
voxel in view i, and C_i is the largest of them. Ours: views are the mirrored ones that nnU-Net's own prediction has;
the five scales of the paper are left out, since nnU-Net's networks are trained at one spacing.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import Tensor


def fuse(views: Iterable[Tensor]) -> Tensor:
    """The confidence-weighted mean of probabilities `(K, *S)`, which again sum to 1."""
    weighted, total = torch.zeros(()), torch.zeros(())
    for view in views:
        confidence = view.amax(0, keepdim=True)
        weighted, total = weighted + confidence * view, total + confidence
    return weighted / total


def mirrored_views(predictor: nnUNetPredictor, image: Tensor, mirror_axes: Sequence[int]) -> Iterator[Tensor]:
    """Probabilities `(K, *S)` of each mirrored view by the sliding window, mirrored back, on the CPU.

    Args:
        predictor: initialised, which does not mirror by itself.
        image: preprocessed `(C, *S)`.
        mirror_axes: of the patch, as nnU-Net allows them for predictions.
    """
    first = image.ndim - len(predictor.configuration_manager.patch_size)  # in 2D, slices come before
    for number in range(len(mirror_axes) + 1):
        for chosen in combinations(mirror_axes, number):
            axes = [first + axis for axis in chosen]
            logits = predictor.predict_sliding_window_return_logits(image.flip(axes))
            yield logits.cpu().float().flip(axes).softmax(0)
