"""Amplitudes of low frequencies on a physical grid: frequencies are in cycles per mm, whatever the size of an image.

Amplitudes are per voxel, |F| / N, so that those of one image mean the same in an image of another size. A network in 2D
has the grid of its slices; the first axis of an image `(C, Z, Y, X)` is then no axis of the transform.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from torch import Tensor

MIDDLE = 0.5
"""Slice i of n lies at (i + 0.5) / n of the image."""


def one_cycle(size: Sequence[int], spacing: Sequence[float]) -> NDArray[np.float64]:
    """The frequency of one cycle in the image along each axis of the transform, `(d,)`, in cycles per mm.

    Args:
        size: of the image; leading axes that are none of the transform do not count.
        spacing: mm, one for each of the d axes of the transform.
    """
    return 1 / (np.array(size[-len(spacing) :], float) * np.array(spacing, float))


def low_frequencies(
    size: Sequence[int], spacing: Sequence[float], radius: float
) -> tuple[tuple[NDArray[np.int64], ...], NDArray[np.float64]]:
    """The part of `torch.fft.rfftn` of an image that is inside the radius: M of the paper, a ball, in 2D a disc.

    Args:
        size: of the image; leading axes that are none of the transform do not count.
        spacing: mm, one for each of the d axes of the transform.
        radius: cycles per mm; what is on it is outside.

    Returns:
        Its P places, d arrays `(P,)` to index the last d axes with, and its frequencies `(d, P)` in cycles per mm.
    """
    *others, last = zip(size[-len(spacing) :], spacing, strict=True)
    axes = [*(np.fft.fftfreq(n, mm) for n, mm in others), np.fft.rfftfreq(*last)]
    box = np.meshgrid(*(np.flatnonzero(np.abs(axis) < radius) for axis in axes), indexing="ij")
    places = [place.ravel() for place in box]
    found = np.stack([axis[place] for axis, place in zip(axes, places, strict=True)])
    inside = np.square(found).sum(0) < radius**2
    return tuple(place[inside] for place in places), found[:, inside]


def low_amplitudes(image: Tensor, spacing: Sequence[float], radius: float) -> NDArray[np.float32]:
    """Amplitudes up to the radius along each axis, in a box around frequency 0 that is a little larger than the ball.

    Node k of an axis is the frequency of k cycles in the image. Nodes are -K to K, of the last axis 0 to K: the other
    half is the same. Past the highest frequency of the image they go on periodically, as those of a sampled image do.

    Args:
        image: `(C, *S)`.
        spacing: mm, one for each of the d axes of the transform.
        radius: cycles per mm.

    Returns:
        `(C, 2K + 1, 2K + 1, K + 1)`, K another one for each axis; in 2D `(C, Z, 2K + 1, K + 1)`.
    """
    dims = tuple(range(-len(spacing), 0))
    highest = np.ceil(radius / one_cycle(image.shape, spacing)).astype(int)
    found = []
    for channel in image.float():  # one at a time: a spectrum is twice the size of an image
        low = torch.fft.fftn(channel, dim=dims)
        for dim, k in zip(dims, highest, strict=True):
            nodes = np.arange(0 if dim == -1 else -k, k + 1) % channel.shape[dim]
            low = low.index_select(dim, torch.from_numpy(nodes))
        found.append(low.abs() / math.prod(channel.shape[dim] for dim in dims))
    return torch.stack(found).numpy()


def amplitudes_at(
    amplitudes: NDArray[np.float32], step: NDArray[np.float64], wanted: NDArray[np.float64], slices: int
) -> NDArray[np.float32]:
    """Amplitudes of one image at the frequencies of another, interpolated linearly.

    Args:
        amplitudes: as `low_amplitudes` gives them.
        step: `one_cycle` of their image, `(d,)`.
        wanted: frequencies `(d, P)`, none negative along the last axis.
        slices: Z of the other image; in 2D a slice gets the amplitudes of the place in between that is as far up.

    Returns:
        `(C, P)`, in 2D `(C, slices, P)`.
    """
    d = len(step)
    centre = [(n - 1) // 2 for n in amplitudes.shape[-d:-1]] + [0]
    nodes = wanted / step[:, None] + np.array(centre)[:, None]
    if d == 2:
        number = amplitudes.shape[1]
        z = (np.arange(slices) + MIDDLE) / slices * number - MIDDLE
        z = np.clip(z, 0, number - 1)
        nodes = np.stack(np.broadcast_arrays(z[:, None], *nodes[:, None]))
    return np.stack([map_coordinates(channel, nodes, order=1, mode="nearest") for channel in amplitudes])
