"""Another look of the same images, as another scanner or another stain would give it: no voxel moves.

Stains: HED-light of Tellez et al. (2019). In optical densities d = -ln(colour), the three stains are s = d M with the
matrix of Ruifrok and Johnston; each is changed to s' = a s + b, then brightness and contrast. The recipe bundles shape
and blur, which are left out: both looks must show the same places. Its b was for the units of an earlier scikit-image;
here it is one of optical density.

MRI (ours): a random monotone tone curve, gamma, a smooth bias field, noise.

The network sees normalised images. Where nnU-Net normalises each image by its mean and standard deviation, a real
change of the look would not change these either: the jitter gives each channel those that it had.
"""

from collections.abc import Callable, Sequence

import torch
from skimage.color import hed_from_rgb, rgb_from_hed
from torch import Tensor

from nnunetv2_factorizer.factorization import resize

STAIN_SCALE, STAIN_SHIFT = (0.95, 1.05), (-0.05, 0.05)
BRIGHTNESS = CONTRAST = (0.65, 1.35)
SEGMENTS, SLOPE = 8, (0.25, 1.75)
"""Of the tone curve: straight parts of equal width, each with a slope of its own before they are scaled."""
GAMMA = (0.7, 1.5)
BIAS, BIAS_GRID = 0.2, 3
"""Standard deviation of the logarithm of the bias field at points, so many an axis, between which it is linear."""
NOISE = (0.0, 0.1)
"""Standard deviation in that of the channel."""

DARKEST = 1e-3
"""Colour below which a voxel is black: its optical density would have no bound."""
TINY = 1e-6

Jitter = Callable[[Tensor], Tensor]
"""Of images `(B, C, *S)`, drawn anew for each of them from torch's global generator."""


def jitter_for(channels: Sequence[str], schemes: Sequence[str]) -> Jitter:
    """The jitter for images of a data set.

    Args:
        channels: names, of which R, G and B are colours.
        schemes: nnU-Net's normalisation of each; colours, too, where all are `RGBTo01Normalization`.
    """
    colours = len(channels) == 3
    if colours and set(schemes) == {"RGBTo01Normalization"}:
        return stain_jitter
    if colours and [name.casefold() for name in channels] in (["r", "g", "b"], ["red", "green", "blue"]):
        return normalised_stain_jitter
    return contrast_jitter


def stain_jitter(colours: Tensor) -> Tensor:
    """Of `(B, 3, *S)` in [0, 1], white being 1."""
    changed = restain(colours, _draw(STAIN_SCALE, colours, 3), _draw(STAIN_SHIFT, colours, 3))
    changed = changed * _draw(BRIGHTNESS, colours, 1)
    mean = changed.mean(tuple(range(1, changed.ndim)), keepdim=True)
    return (mean + (changed - mean) * _draw(CONTRAST, colours, 1)).clamp(min=0)


def normalised_stain_jitter(images: Tensor) -> Tensor:
    """Of colours that nnU-Net has normalised, each channel alone: its range in the patch is taken for [0, 1] (ours)."""
    low, high = _range(images)
    return _with_moments_of(images, stain_jitter((images - low) / (high - low).clamp(min=TINY)))


def restain(colours: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Colours `(B, 3, *S)` whose stains are `scale * s + shift`, both `(B, 3, 1, ...)` for the stains H, E and D."""
    to_stains, to_colours = (torch.from_numpy(m).to(colours) for m in (hed_from_rgb, rgb_from_hed))
    stains = torch.einsum("bc...,cs->bs...", -colours.clamp(min=DARKEST).log(), to_stains)
    return torch.einsum("bs...,sc->bc...", scale * stains + shift, to_colours).neg().exp()


def contrast_jitter(images: Tensor) -> Tensor:
    """Of normalised MRI `(B, C, *S)`, each channel alone."""
    low, high = _range(images)
    channels = images.shape[1]
    tone = tone_curve((images - low) / (high - low).clamp(min=TINY)) ** _draw(GAMMA, images, channels)
    changed = _with_moments_of(images, tone * bias_field(images))
    spread = images.std(tuple(range(2, images.ndim)), correction=0, keepdim=True)
    return changed + _draw(NOISE, images, channels) * spread * torch.randn_like(images)


def tone_curve(values: Tensor) -> Tensor:
    """A rising curve for each channel of `(B, C, *S)` in [0, 1], from 0 to 1, linear between its knots."""
    rows = values.flatten(2).flatten(0, 1)
    low, high = SLOPE
    rises = low + (high - low) * torch.rand(len(rows), SEGMENTS, device=values.device)
    knots = torch.nn.functional.pad(rises.cumsum(1) / rises.sum(1, keepdim=True), (1, 0))
    place = rows * SEGMENTS
    segment = place.long().clamp(0, SEGMENTS - 1)
    start, end = knots.gather(1, segment), knots.gather(1, segment + 1)
    return (start + (place - segment) * (end - start)).view_as(values)


def bias_field(images: Tensor) -> Tensor:
    """A smooth field around 1 for each channel of `(B, C, *S)`."""
    size = images.shape[2:]
    points = BIAS * torch.randn(*images.shape[:2], *[BIAS_GRID] * len(size), device=images.device)
    return resize(points, size).exp()


def _draw(bounds: tuple[float, float], images: Tensor, channels: int) -> Tensor:
    """A number for each image and channel, `(B, channels, 1, ...)`."""
    low, high = bounds
    shape = (len(images), channels, *[1] * (images.ndim - 2))
    return low + (high - low) * torch.rand(shape, device=images.device)


def _range(images: Tensor) -> tuple[Tensor, Tensor]:
    axes = tuple(range(2, images.ndim))
    return images.amin(axes, keepdim=True), images.amax(axes, keepdim=True)


def _with_moments_of(images: Tensor, changed: Tensor) -> Tensor:
    """The changed images with mean and standard deviation of each channel as they were."""
    axes = tuple(range(2, images.ndim))
    (old_spread, old), (spread, mean) = (torch.std_mean(x, axes, correction=0, keepdim=True) for x in (images, changed))
    return old + (changed - mean) / spread.clamp(min=TINY) * old_spread
