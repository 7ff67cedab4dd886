"""Images with structure at all scales, and the preprocessing that made them."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from nnunetv2_factorizer.adaptation.style.bank import Bank, Style
from nnunetv2_factorizer.adaptation.style.preprocessing import Preprocessing

SPACING = (3.0, 1.0, 1.5)


def preprocessing(d: int = 3, normalisation: str = "NoNormalization", masked: bool = False) -> Preprocessing:
    """Of two channels; `d` is 2 where the network sees slices."""
    return Preprocessing(SPACING[-d:], ("T1", "T2"), (normalisation,) * 2, (masked,) * 2)


def image(seed: int, size: tuple[int, ...] = (8, 20, 17)) -> Tensor:
    """`(2, *size)`, a smooth part and noise; each seed has another contrast."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(0, 20, (2, *size)), (0, 1, 3, 3))
    return torch.from_numpy(rng.uniform(1, 3) * smooth + rng.normal(0, 0.3, (2, *size)) + 4).float()


def bank(*images: Tensor, d: int = 3, radius: float = 0.2, **kind: str) -> Bank:
    """The bank of these training images."""
    made = preprocessing(d, **kind)
    return Bank("nnUNetPlans", "nnUNetPlans_3d", "0" * 64, made, radius, [Style.of(x, made, radius) for x in images])
