"""Similarity of an image to training images by SR-SIM, spectral residual similarity, of their middle slices.

L. Zhang, H. Li, *SR-SIM: a fast and high performance IQA index based on spectral residual*, ICIP 2012, as the package
piq has it. The paper on style transfer compares registered scans slice by slice; without registration one slice of each
is compared, in one size. A bank holds no images, so this needs the preprocessed training images.
"""

import math

import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nnunetv2_factorizer.adaptation.style.bank import Bank
from nnunetv2_factorizer.adaptation.style.frequencies import one_cycle
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.preprocessed_cases import fold_cases
from nnunetv2_factorizer.installation import install_extra

SIDE = 128
"""Pixels of a slice: SR-SIM needs at least 40."""

DARK, BRIGHT = 0.01, 0.99
"""Quantiles that become 0 and 1."""


def require_piq() -> None:
    """Raises a `UserError` where the package is not installed."""
    try:
        import piq  # noqa: F401  an extra
    except ModuleNotFoundError as error:
        raise UserError(
            "--donors_by srsim needs the package piq, which is not installed.",
            f"Install it: {install_extra('style')}\nOr choose donors by amplitude, which needs no package.",
        ) from error


def training_slices(
    bank: Bank, dataset_name: str, configuration: ConfigurationManager, fold: str, *, show_progress: bool = False
) -> list[Tensor]:
    """The middle slice of each image of a bank, in its order; see `middle_slice`.

    Args:
        bank: of the fold.
        dataset_name: such as `Dataset004_Hippocampus`.
        configuration: of the plans.
        fold: such as `0` or `all`.
        show_progress: whether there is a bar.

    Raises:
        UserError: the preprocessed images are not there, or are not those that the bank was made of.
    """
    cases = fold_cases(dataset_name, configuration, fold, "--donors_by srsim")
    steps = [one_cycle(cases.size(name), bank.preprocessing.spacing) for name in cases.train]
    if len(steps) != len(bank.styles) or not np.allclose(steps, [style.step for style in bank.styles]):
        raise UserError(
            f"the {len(steps)} training images of fold {fold} in {cases.data.source_folder} are not the "
            f"{len(bank.styles)} that the style bank was made of.",
            "Bring these back, or delete the bank and make it again, or choose donors by amplitude.",
        )
    return list(map_cases(lambda name: middle_slice(cases.image(name)), cases.train, show_progress=show_progress))


def middle_slice(image: Tensor) -> Tensor:
    """The middle slice of an image `(C, Z, Y, X)`, intensities from 0 to 1, as `(C, SIDE, SIDE)`."""
    x = image[:, image.shape[1] // 2].float()
    size = functional.interpolate(x[None], (SIDE, SIDE), mode="bilinear", antialias=True)[0]
    dark, bright = np.quantile(size.flatten(1).numpy(), (DARK, BRIGHT), axis=1)[..., None, None]
    scaled = (size.numpy() - dark) / np.maximum(bright - dark, np.finfo(np.float32).tiny)
    return torch.from_numpy(scaled.clip(0, 1)).float()


def similarities(image: Tensor, slices: list[Tensor]) -> NDArray[np.float64]:
    """SR-SIM of the middle slice of an image `(C, Z, Y, X)` with each of `slices`, the mean of channels, `(n,)`."""
    from piq import srsim  # an extra

    own = middle_slice(image)
    # One pair at a time: piq scales the saliency of all that it gets by a common minimum and maximum.
    return np.array(
        [
            math.fsum(srsim(a[None, None], b[None, None]).item() for a, b in zip(own, other, strict=True)) / len(own)
            for other in slices
        ]
    )
