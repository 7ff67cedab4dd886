"""One door to all ways of restyling: an image in, copies of it in the styles of similar training images out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nnunetv2_factorizer.adaptation.style.bank import COMMAND, DEFAULT_CYCLES, Bank
from nnunetv2_factorizer.adaptation.style.donors import log_amplitude_distances, random_order
from nnunetv2_factorizer.adaptation.style.fourier import swap_amplitudes
from nnunetv2_factorizer.adaptation.style.frequencies import one_cycle
from nnunetv2_factorizer.adaptation.style.histogram import match_quantiles
from nnunetv2_factorizer.adaptation.style.srsim import similarities
from nnunetv2_factorizer.errors import UserError

METHODS = ("histogram", "fourier")
DEFAULT_METHOD = "histogram"

DONORS_BY = ("amplitude", "srsim", "random")
DEFAULT_DONORS_BY = "amplitude"

DEFAULT_DONORS = 7
"""n of the paper."""


def needs_radius(method: str, donors_by: str) -> bool:
    """Whether a radius means something: to what is swapped, or to how donors are chosen."""
    return method == "fourier" or donors_by == "amplitude"


@dataclass(frozen=True)
class Transfer:
    """How images are restyled.

    Attributes:
        bank: of the model.
        method: one of `METHODS`.
        donors_by: one of `DONORS_BY`.
        donors: how many; all of the bank where it has fewer.
        radius: cycles per mm.
        slices: of the training images, for `srsim`.
    """

    bank: Bank
    method: str
    donors_by: str
    donors: int
    radius: float
    slices: list[Tensor]

    def too_small(self, image: Tensor) -> str:
        """Why an image `(C, *S)` cannot be restyled: not one cycle is below the radius. Empty where it can be."""
        cycle = float(one_cycle(image.shape, self.bank.preprocessing.spacing).min())
        if not needs_radius(self.method, self.donors_by) or cycle < self.radius:
            return ""
        return f"one cycle in it is {cycle:.4g} cycles per mm, not below the radius"

    def choose(self, image: Tensor) -> NDArray[np.int64]:
        """The donors of an image `(C, *S)` as places in the bank, the most similar first."""
        if self.donors_by == "amplitude":
            order = log_amplitude_distances(image, self.bank, self.radius).argsort(kind="stable")
        elif self.donors_by == "srsim":
            order = (-similarities(image, self.slices)).argsort(kind="stable")
        else:
            order = random_order(image, len(self.bank.styles))
        return order[: self.donors]

    def copies(self, image: Tensor, donors: NDArray[np.int64]) -> Iterator[Tensor]:
        """An image `(C, *S)` in the style of each donor, one in memory at a time."""
        for style in (self.bank.styles[donor] for donor in donors):
            if self.method == "fourier":
                yield swap_amplitudes(image, style, self.bank.preprocessing, self.radius)
            else:
                yield match_quantiles(image, style, self.bank.preprocessing)


def choose_radius(bank: Bank, radius: float | None) -> float:
    """A radius in cycles per mm that the bank can serve; None: `DEFAULT_CYCLES` of the typical training image.

    Raises:
        UserError: it is above the radius of the bank, or no training image has a cycle below it.
    """
    chosen = DEFAULT_CYCLES * bank.cycle if radius is None else radius
    smallest = min(float(style.step.min()) for style in bank.styles)
    if chosen <= smallest:
        raise UserError(
            f"a radius of {chosen:g} cycles per mm holds frequency 0 alone, the mean intensity: one cycle in the "
            f"longest training image is {smallest:.4g} cycles per mm.",
            f"Give --radius above that, such as {DEFAULT_CYCLES * bank.cycle:.4g}, or leave it out.",
        )
    if chosen > bank.radius:
        raise UserError(
            f"the style bank has amplitudes up to {bank.radius:.4g} cycles per mm, not up to the radius {chosen:.4g}.",
            f"Give a smaller --radius, or delete the bank and make it again: `{COMMAND} --radius {chosen:.4g}`.",
        )
    return chosen
