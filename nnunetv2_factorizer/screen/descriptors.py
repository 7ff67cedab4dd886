"""What a physicist would measure in an image: intensity, contrast, noise, resolution.

The distance says that an image is unusual; these say in which way. All are of the preprocessed image, as the network
sees it, in units of its normalised intensity.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from torch import Tensor

from nnunetv2_factorizer.inference.images import channel_names

UNUSUAL = 3.0
"""Standard deviations of the training cases."""

FLAT = 1e-5
"""Of normalised intensity: what is smaller is the error of rounding and resampling, such as in a masked background."""

QUANTILES = {"dark": 0.05, "middle": 0.5, "bright": 0.95}


@dataclass(frozen=True)
class Typical:
    """Mean and standard deviation of a descriptor over the training cases."""

    mean: float
    spread: float

    def deviation(self, value: float) -> float:
        """In standard deviations; within rounding, a descriptor that is always the same never deviates."""
        return (value - self.mean) / max(self.spread, 1e-3 * max(abs(self.mean), 1.0))


def describe(predictor: nnUNetPredictor, data: Tensor) -> dict[str, float]:
    """The descriptors of each channel, named such as `T2: noise` where there are several.

    `intensity dark`, `middle` and `bright` are the 5, 50 and 95 % quantiles; `contrast` is the difference between the
    means of the two classes of Otsu's threshold; `noise` is the logarithm of Immerkær's estimate of its standard
    deviation; `edge width z`, `y` and `x` are the logarithms of a width in mm: standard deviation of the image over
    root mean square of the gradient along the axis.

    Args:
        predictor: of the model.
        data: the preprocessed image `(C, *S)`.

    Source: Immerkær, Fast noise variance estimation, 1996; the median in place of the mean leaves out edges.
    """
    names = channel_names(predictor.dataset_json)
    spacing = predictor.configuration_manager.spacing
    axes = dict(zip(_axis_names(predictor)[-len(spacing) :], spacing, strict=True))
    descriptors: dict[str, float] = {}
    for name, channel in zip(names, data.numpy(), strict=True):
        prefix = f"{name}: " if len(names) > 1 else ""
        descriptors |= {prefix + what: value for what, value in describe_channel(channel, axes).items()}
    return descriptors


def words(deviations: Mapping[str, float]) -> list[str]:
    """What is unusual, most unusual first, such as `lower resolution along z and y`; empty where nothing is.

    An image with more noise seems sharper, and a blurred one less noisy: only the cause is said.

    Args:
        deviations: of the descriptors, in standard deviations of the training cases.
    """
    unusual = {name: z for name, z in deviations.items() if abs(z) > UNUSUAL}
    for noise in [name for name in unusual if name.endswith("noise")]:
        edges = [n for n in unusual if n.startswith(noise.removesuffix("noise") + "edge width")]
        effects = [n for n in edges if unusual[n] < 0] if unusual[noise] > 0 else [noise]
        if any(unusual[n] * unusual[noise] < 0 for n in edges):
            unusual = {name: z for name, z in unusual.items() if name not in effects}
    said: dict[tuple[str, str], list[str]] = {}
    for name in sorted(unusual, key=lambda n: -abs(unusual[n])):
        channel, colon, what = name.rpartition(": ")
        kind = next(kind for kind in _PHRASES if what.startswith(kind))
        phrase = _PHRASES[kind][unusual[name] > 0]
        said.setdefault((channel + colon, phrase), []).append(what.removeprefix(kind).strip())
    return [channel + phrase.format(" and ".join(which)) for (channel, phrase), which in said.items()]


_PHRASES = {
    "intensity": ("lower intensity of {} voxels", "higher intensity of {} voxels"),
    "contrast": ("lower contrast", "higher contrast"),
    "noise": ("less noise", "more noise"),
    "edge width": ("higher resolution along {}", "lower resolution along {}"),
}
"""Kind of descriptor to what is said of a low one and of a high one, with a place for what it is said of."""


def _axis_names(predictor: nnUNetPredictor) -> list[str]:
    """Of the preprocessed image, by the axes `(z, y, x)` of the image as nnU-Net reads it."""
    return ["zyx"[axis] for axis in predictor.plans_manager.transpose_forward]


def describe_channel(x: NDArray[np.float32], axes: Mapping[str, float]) -> dict[str, float]:
    """Of one normalised channel `(*S)`; `axes` are the names of the last axes and their spacing in mm."""
    quantiles = np.quantile(x, list(QUANTILES.values()))
    threshold = threshold_otsu(x)
    bright = x > threshold
    contrast = x[bright].mean() - x[~bright].mean() if bright.any() else 0.0
    first = x.ndim - len(axes)  # a network in 2D sees slice after slice
    edges = {f"edge width {name}": _edge_width(x, first + i, spacing) for i, (name, spacing) in enumerate(axes.items())}
    intensity = {f"intensity {name}": q for name, q in zip(QUANTILES, quantiles.tolist(), strict=True)}
    noise = _noise(x, range(first, x.ndim))
    return intensity | {"contrast": float(contrast), "noise": float(np.log(max(noise, FLAT)))} | edges


def _edge_width(x: NDArray[np.float32], axis: int, spacing: float) -> float:
    if x.shape[axis] < 2:
        return 0.0
    gradient = np.sqrt(np.square(np.diff(x, axis=axis)).mean()) / spacing
    return float(np.log(max(x.std(), FLAT) / max(gradient, FLAT)))


def _noise(x: NDArray[np.float32], axes: Sequence[int]) -> float:
    """Second differences along each axis leave noise; their sum of squared weights is 6 for each axis."""
    axes = [axis for axis in axes if x.shape[axis] > 2]
    for axis in axes:
        x = np.diff(x, 2, axis)
    x = np.abs(x)
    x = x[x > FLAT]
    return float(np.median(x) / 0.6745 / 6 ** (len(axes) / 2)) if x.size else 0.0
