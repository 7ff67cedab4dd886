"""What a person sees of a screening: a plot of the distances, and slices of an image."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

LONGEST = 240
"""Pixels of the long side of a slice."""

LARGE = 5
"""Times the threshold; with larger distances the axis is logarithmic."""

TRAINING, USUAL, SHIFTED = "#9a9a9a", "#1f5fa8", "#d95f02"


def plot(held_out: Sequence[float], cases: Sequence[float], threshold: float) -> bytes:
    """A PNG: a row of points for the held-out training cases, a row for the cases, and a line at the threshold.

    Args:
        held_out: normalised distances.
        cases: normalised distances.
        threshold: of the distance.
    """
    figure = Figure(figsize=(9, 2.3), layout="constrained")
    axis: Axes = figure.subplots()
    _row(axis, 1, held_out, [TRAINING] * len(held_out))
    _row(axis, 0, cases, [SHIFTED if distance > threshold else USUAL for distance in cases])
    axis.axvline(threshold, color="black", linewidth=1, linestyle="--")
    axis.text(threshold, 1.52, " threshold", fontsize=8, va="bottom", ha="center")
    axis.set_yticks([0, 1], [f"these cases ({len(cases)})", f"held-out training cases ({len(held_out)})"])
    axis.set_ylim(-0.5, 1.5)
    if max(*cases, *held_out) > LARGE * threshold:
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("distance to the training cases")
    axis.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=150, format="png")
    return buffer.getvalue()


def slices(image: NDArray[np.float32], spacing: Sequence[float]) -> list[bytes]:
    """PNGs of the middle slices across z, y and x, with square pixels and z upwards; in 2D of the one slice.

    Args:
        image: `(z, y, x)`.
        spacing: mm `(z, y, x)`.
    """
    lowest, highest = np.percentile(image, (0.5, 99.5))
    grey = (255 * np.clip((image - lowest) / max(highest - lowest, 1e-8), 0, 1)).round().astype(np.uint8)
    pictures = []
    for across in range(1 if image.shape[0] == 1 else 3):
        plane = grey.take(image.shape[across] // 2, across)
        rows, columns = (axis for axis in range(3) if axis != across)
        size = np.array([plane.shape[1] * spacing[columns], plane.shape[0] * spacing[rows]])
        width, height = np.maximum(1, (LONGEST * size / size.max()).round()).astype(int).tolist()
        if across > 0:
            plane = plane[::-1]
        larger = width * height > plane.size
        kind = Image.Resampling.NEAREST if larger else Image.Resampling.BOX
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), kind).save(buffer, "PNG", optimize=True)
        pictures.append(buffer.getvalue())
    return pictures


def _row(axis: Axes, height: float, distances: Sequence[float], colours: Sequence[str]) -> None:
    """Points a little above and below one another, so that all are seen; in the same places every time."""
    jitter = np.random.default_rng(0).uniform(-0.25, 0.25, len(distances))
    axis.scatter(list(distances), height + jitter, s=22, c=list(colours), alpha=0.75, linewidths=0)
