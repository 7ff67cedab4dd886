"""When to begin to correct a class: the start rule of ADELE (Liu et al., CVPR 2022), as SISSI writes it.

A network learns what is common in noisy labels first, and memorises their errors later. The curve of a class, its
overlap with the given labels on the training data, rises steeply while it learns and flattens when it memorises:

    f(t) = a (1 - exp(-t^b / c)),   0 <= a, b <= 1,   c >= 0,   t = 1, 2, ... epochs
    start where |f'(1) - f'(t)| / |f'(1)| > 0.9

The fit is by least squares with noise that falls geometrically from 1 to 0.1: late points count more.

c = 0 divides by zero, so c is at least 1e-3 here. f' falls, since b <= 1, and

    f'(t) / f'(1) = t^(b - 1) exp(-(t^b - 1) / c)

has no zero in the denominator, which f'(1) of a steep curve is in floating point numbers.

Ours: Dice in place of IoU or AP; not before epoch 4, three numbers being fitted; and not while f(t) is below 0.3: a
class that is not learned yet would be erased, since the network is sure of the background everywhere.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

CHANGE = 0.9
EARLIEST = 4
"""Epochs."""
LEARNED = 0.3
"""Dice."""
SMALLEST_C = 1e-3


def curve(t: NDArray[np.float64], a: float, b: float, c: float) -> NDArray[np.float64]:
    """f(t)."""
    return a * (1 - np.exp(-(t**b) / c))


def slope_change(t: float, b: float, c: float) -> float:
    """|f'(1) - f'(t)| / |f'(1)|."""
    return float(1 - t ** (b - 1) * np.exp(-(t**b - 1) / c))


def fit(overlaps: Sequence[float]) -> tuple[float, float, float] | None:
    """a, b and c for the values of epochs 1, 2, ..., each in [0, 1]; None where no curve is found."""
    values = np.clip(np.asarray(overlaps, np.float64), 0, 1)
    t = np.arange(1, len(values) + 1, dtype=np.float64)
    try:
        (a, b, c), _ = curve_fit(
            curve, t, values, p0=(max(values.max(), 1e-3), 0.5, 1.0), sigma=np.geomspace(1, 0.1, len(values)),
            bounds=([0, 0, SMALLEST_C], [1, 1, np.inf]),
        )  # fmt: skip
    except RuntimeError:  # too many steps
        return None
    return float(a), float(b), float(c)


def starts(overlaps: Sequence[float]) -> bool:
    """Whether a class with these values, one an epoch so far, is to be corrected from now on."""
    t = len(overlaps)
    fitted = fit(overlaps) if t >= EARLIEST else None
    if fitted is None:
        return False
    a, b, c = fitted
    learned = curve(np.array([float(t)]), a, b, c)[0] >= LEARNED
    return bool(learned and slope_change(t, b, c) > CHANGE)
