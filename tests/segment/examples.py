"""Small images whose segments are known."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage import io
from sklearn.metrics import adjusted_rand_score

SIDE = 24
TRUTH = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % SIDE >= SIDE // 2


def halves(channels: int = 1, noise: float = 0.1) -> NDArray[np.float32]:
    """`(C, 24, 24)`: dark left, bright right."""
    rng = np.random.default_rng(0)
    return (2 * TRUTH - 1 + noise * rng.normal(size=(channels, SIDE, SIDE))).astype(np.float32)


def agreement(labels: NDArray) -> float:
    """Adjusted Rand index with the halves: 0 by chance, 1 if they are the same."""
    return float(adjusted_rand_score(TRUTH.ravel(), labels.ravel()))


def write_pngs(folder: Path, number: int = 2) -> None:
    """RGB images of halves."""
    folder.mkdir(parents=True)
    for case in range(number):
        pixels = 120 + 60 * halves(3, 0.1 + 0.05 * case).clip(-1.5, 1.5)
        io.imsave(folder / f"case{case}_0000.png", np.moveaxis(pixels, 0, -1).astype(np.uint8), check_contrast=False)
