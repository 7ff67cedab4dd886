"""Which training images give their style to an image."""

import zlib

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nnunetv2_factorizer.adaptation.style.bank import Bank
from nnunetv2_factorizer.adaptation.style.frequencies import amplitudes_at, low_amplitudes, low_frequencies, one_cycle

FLOOR = 1e-8
"""Added to amplitudes before the logarithm."""


def log_amplitude_distances(image: Tensor, bank: Bank, radius: float) -> NDArray[np.float64]:
    """Root mean square difference of the log amplitudes below the radius, of each image of the bank, `(n,)`.

    Frequency 0 does not count: of z-scored images it is rounding alone.

    Args:
        image: preprocessed, `(C, *S)`, of at least one cycle below the radius.
        bank: of the model.
        radius: cycles per mm.
    """
    spacing = bank.preprocessing.spacing
    _, inside = low_frequencies(image.shape, spacing, radius)
    wanted = inside[:, inside.any(0)]
    slices = image.shape[1]

    def logarithms(amplitudes: NDArray[np.float32], step: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(amplitudes_at(amplitudes, step, wanted, slices).astype(float) + FLOOR)

    own = logarithms(low_amplitudes(image, spacing, radius), one_cycle(image.shape, spacing))
    found = (logarithms(style.amplitudes, style.step) for style in bank.styles)
    return np.array([np.sqrt(np.square(donor - own).mean()) for donor in found])


def random_order(image: Tensor, number: int) -> NDArray[np.int64]:
    """`number` images of a bank in a random order, always the same one for the same image."""
    seed = zlib.crc32(image.contiguous().numpy().tobytes())
    return np.random.default_rng(seed).permutation(number)
