"""An image into pieces that a method can look at, and the labels of the pieces into one map."""

from collections import Counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.segment.images import Image
from nnunetv2_factorizer.segment.method import Method


def segment_image(
    image: Image, method: Method, k: int, seed: int = 0, device: torch.device | None = None
) -> tuple[NDArray[np.uint16], dict[str, Any]]:
    """The label map `(z, y, x)` of an image, and what there is to say of it.

    Labels are 1 to n from dark to bright, by the mean of the channels. A slice of a single value gets 0.

    Args:
        image: of `read_image`.
        method: of `METHODS`. One in 2D sees a volume slice by slice, and each slice has labels of its own.
        k: segments, or for a method that trains, how many may be left when it stops.
        seed: of what is drawn.
        device: for a method that trains, default the CPU.

    Returns:
        The map; and `slices`, how many were segmented; `labels`, the most of one slice; `collapsed`, slices that have
        one label only; `iterations`, of all slices; `stopped`, why the training ended, and for how many slices.

    Raises:
        UserError: there are fewer pixels than k, or it is too thin for the method, or all slices have one value.
    """
    labels = np.zeros(image.data.shape[1:], np.uint16)
    found, stopped, iterations = [], Counter[str](), 0
    for place in _places(image, method.axes):
        piece = image.data[(slice(None), *place)]
        _check(piece.shape[1:], method, k)
        if all(channel.min() == channel.max() for channel in piece):
            continue
        segments = method.segment(piece, k, seed, device or torch.device("cpu"))
        labels[place] = _from_dark_to_bright(segments.labels, piece.mean(0))
        found.append(int(labels[place].max()))
        iterations += segments.iterations
        if segments.stopped:
            stopped[segments.stopped] += 1
    if not found:
        raise UserError("each of its slices has one value.", "Take --method kmeans, slic or otsu.")
    return labels, {
        "slices": len(found),
        "labels": max(found),
        "collapsed": found.count(1),
        "iterations": iterations,
        "stopped": dict(stopped),
    }


def slice_axis(image: Image, axes: int) -> int | None:
    """The axis across which an image is cut into slices: a thin one, else the coarsest; None, it is not cut."""
    shape = image.data.shape[1:]
    if 1 in shape:
        return shape.index(1)
    return int(np.argmax(image.properties["spacing"])) if axes == 2 else None


def _places(image: Image, axes: int) -> list[tuple[Any, ...]]:
    """Where the pieces are in `(z, y, x)`."""
    axis = slice_axis(image, axes)
    everything: list[Any] = [slice(None)] * 3
    if axis is None:
        return [tuple(everything)]
    return [(*everything[:axis], number, *everything[axis + 1 :]) for number in range(image.data.shape[1 + axis])]


def _check(shape: tuple[int, ...], method: Method, k: int) -> None:
    size = " x ".join(map(str, shape))
    if min(shape) < method.smallest:
        raise UserError(
            f"it is {size} pixels where it is thinnest, and the method needs {method.smallest} on each axis.",
            "Take --method kmeans, slic or otsu, or leave the image out.",
        )
    if k > (pixels := int(np.prod(shape))):
        raise UserError(f"k is {k}, but there are only {pixels} pixels ({size}).", "Give a smaller -k.")


def _from_dark_to_bright(labels: NDArray, brightness: NDArray) -> NDArray[np.uint16]:
    """Whatever labels as 1, 2, ... by their mean brightness; equal ones as they come."""
    _, places = np.unique(labels, return_inverse=True)
    places = places.reshape(-1)
    means = np.bincount(places, brightness.reshape(-1)) / np.bincount(places)
    rank = np.empty(len(means), np.uint16)
    rank[np.argsort(means, kind="stable")] = np.arange(1, len(means) + 1)
    return rank[places].reshape(labels.shape)
