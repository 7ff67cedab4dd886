"""Scanner B in three strengths: what it makes of an image of scanner A. Labels stay as they are.

All transforms are those of MONAI and batchgeneratorsv2. A scanner has one tone curve and nearly one noise; its bias
field differs from head to head.
"""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from batchgeneratorsv2.transforms.intensity.inversion import InvertImageTransform
from batchgeneratorsv2.transforms.noise.rician import RicianNoiseTransform
from monai.transforms import AdjustContrast, GaussianSmooth, RandBiasField, RandHistogramShift
from numpy.typing import NDArray
from torch import Tensor

DARK = 0.55
"""Intensities below this are inverted by B3, where the median of a hippocampus crop is about 0.45."""
TONE_CURVE = 5
"""The seed of B2's."""


def mild(image: Tensor, spacing: Sequence[float], strength: float, seed: int) -> Tensor:
    """B1: gamma, blur and Rician noise."""
    image = torch.as_tensor(AdjustContrast(gamma=1 + strength)(image))
    image = torch.as_tensor(GaussianSmooth([0.6 * strength / mm for mm in spacing])(image))
    return _rician(image, 0.06 * strength, seed)


def medium(image: Tensor, spacing: Sequence[float], strength: float, seed: int) -> Tensor:
    """B2: a bias field and a monotone tone curve."""
    curve = RandHistogramShift(num_control_points=5, prob=1)
    curve.set_random_state(TONE_CURVE)
    toned = torch.as_tensor(curve(image))
    return _bias(image + min(strength, 1) * (toned - image), 0.25 * strength, seed)


def severe(image: Tensor, spacing: Sequence[float], strength: float, seed: int) -> Tensor:
    """B3: the dark part of the intensities inverted, a bias field, and blur along the axis of the slices, the first."""
    dark = image.clamp(max=DARK)
    inverted = InvertImageTransform(p_invert_image=1)(image=dark.clone())["image"]
    image = image + strength * (inverted - dark)
    image = _bias(image, 0.15, seed)
    return torch.as_tensor(GaussianSmooth([1.0 / spacing[0], 0, 0])(image))


SCANNERS: dict[str, tuple[Callable[[Tensor, Sequence[float], float, int], Tensor], float]] = {
    "B1": (mild, 0.8),
    "B2": (medium, 0.95),
    "B3": (severe, 0.5),
}
"""Each with the strength that `python -m benchmarks.scanner calibrate` chose."""


def scanned(
    image: NDArray[np.float32], spacing: Sequence[float], scanner: str, case: str, strength: float | None = None
) -> NDArray[np.float32]:
    """What the scanner makes of an image; the same for each call.

    Args:
        image: `(C, *S)` of scanner A, as it was read.
        spacing: mm, of each axis.
        scanner: one of `SCANNERS`, or `"A"` for the image as it is.
        case: name of the case, which its bias field and noise are drawn from.
        strength: in place of the scanner's own.
    """
    if scanner == "A":
        return image
    transform, own = SCANNERS[scanner]
    low, high = np.percentile(image, (0.5, 99.5), axis=tuple(range(1, image.ndim)), keepdims=True)
    span = np.maximum(high - low, 1e-6)
    unit = torch.from_numpy(np.clip((image - low) / span, 0, 1).astype(np.float32))
    seed = zlib.crc32(f"{scanner} {case}".encode())
    changed = transform(unit, spacing, own if strength is None else strength, seed)
    return (low + span * np.asarray(changed)).astype(np.float32)


def _bias(image: Tensor, coefficient: float, seed: int) -> Tensor:
    field = RandBiasField(degree=3, coeff_range=(-coefficient, coefficient), prob=1)
    field.set_random_state(seed % 2**32)
    return torch.as_tensor(field(image))


def _rician(image: Tensor, deviation: float, seed: int) -> Tensor:
    with torch.random.fork_rng(devices=[]):  # the transform draws by PyTorch's own generator
        torch.manual_seed(seed)
        noise = RicianNoiseTransform((deviation, deviation))
        return torch.as_tensor(noise(image=image)["image"])
