"""The style bank of a model: low-frequency amplitudes and intensity quantiles of its training images.

It holds no image, no phase (which says where things are) and no name of a case.
"""

import dataclasses
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nnunetv2_factorizer.adaptation.style.frequencies import low_amplitudes, one_cycle
from nnunetv2_factorizer.adaptation.style.preprocessing import Preprocessing
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.atomic import replacing

FILE = "style_bank.npz"
COMMAND = "nnUNetv2_factorizer_style_bank"
QUANTILES = 1001
"""From the minimum to the maximum in steps of a thousandth."""

KEPT_CYCLES = 8
"""Radius of what a bank keeps, unless it is given, in cycles of the typical training image."""

DEFAULT_CYCLES = 3
"""Radius of what is swapped, unless it is given, in cycles of the typical training image."""


@dataclass(frozen=True)
class Style:
    """Of one image.

    Attributes:
        amplitudes: as `frequencies.low_amplitudes` gives them.
        quantiles: of the intensities of each channel, `(C, QUANTILES)`.
        step: `frequencies.one_cycle` of the image, `(d,)`.
    """

    amplitudes: NDArray[np.float32]
    quantiles: NDArray[np.float32]
    step: NDArray[np.float64]

    @classmethod
    def of(cls, image: Tensor, preprocessing: Preprocessing, radius: float) -> "Style":
        """Of a preprocessed image `(C, *S)`, up to a radius in cycles per mm."""
        inside = preprocessing.inside(image)
        levels = np.linspace(0, 1, QUANTILES)
        quantiles = [np.quantile(x[where].numpy(), levels) for x, where in zip(image, inside, strict=True)]
        return cls(
            low_amplitudes(image, preprocessing.spacing, radius),
            np.stack(quantiles).astype(np.float32),
            one_cycle(image.shape, preprocessing.spacing),
        )


@dataclass(frozen=True)
class Bank:
    """The styles of the training images of a fold, in the order of nnU-Net's sorted names.

    Attributes:
        plans: name of the plans.
        data_identifier: nnU-Net's name of the folder of preprocessed images.
        checkpoint_sha256: of the checkpoint of the fold.
        preprocessing: of the images.
        radius: up to which amplitudes are kept, cycles per mm.
        styles: one a training image.
    """

    plans: str
    data_identifier: str
    checkpoint_sha256: str
    preprocessing: Preprocessing
    radius: float
    styles: list[Style]

    @property
    def cycle(self) -> float:
        """The frequency of one cycle in the typical training image, cycles per mm; see `typical_cycle`."""
        return typical_cycle(np.stack([style.step for style in self.styles]))

    def save(self, path: Path) -> None:
        """Writes plain arrays, which nobody needs pickle to read."""
        arrays = {
            "plans": np.array(self.plans),
            "data_identifier": np.array(self.data_identifier),
            "checkpoint_sha256": np.array(self.checkpoint_sha256),
            **{name: np.array(value) for name, value in dataclasses.asdict(self.preprocessing).items()},
            "radius": np.array(self.radius),
            "steps": np.stack([style.step for style in self.styles]),
            "quantiles": np.stack([style.quantiles for style in self.styles]),
            **{_amplitudes(i): style.amplitudes for i, style in enumerate(self.styles)},
        }
        with replacing(str(path)) as unfinished, open(unfinished, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type] # of allow_pickle

    @classmethod
    def load(cls, path: Path) -> "Bank":
        """Reads what `save` wrote; nothing in it is unpickled.

        Raises:
            UserError: there is no bank, or it is damaged.
        """
        if not path.is_file():
            raise UserError(f"{path} does not exist: this fold has no style bank.", f"Make it with `{COMMAND}`.")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                preprocessing = Preprocessing(
                    **{field.name: tuple(arrays[field.name].tolist()) for field in dataclasses.fields(Preprocessing)}
                )
                styles = [
                    Style(arrays[_amplitudes(i)], quantiles, step)
                    for i, (quantiles, step) in enumerate(zip(arrays["quantiles"], arrays["steps"], strict=True))
                ]
                plans, data, sha256 = (str(arrays[name]) for name in ("plans", "data_identifier", "checkpoint_sha256"))
                bank = cls(plans, data, sha256, preprocessing, float(arrays["radius"]), styles)
            bank.check()
        except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path} is no usable style bank: {error}", f"Delete it, and make it again with `{COMMAND}`."
            ) from error
        return bank

    def check(self) -> None:
        """Raises a `ValueError` where arrays do not belong together, or are no amplitudes and quantiles."""
        channels, d = len(self.preprocessing.channels), len(self.preprocessing.spacing)
        if not self.styles:
            raise ValueError("it has no styles.")
        for i, style in enumerate(self.styles):
            if style.amplitudes.ndim != 4 or len(style.amplitudes) != channels or style.step.shape != (d,):
                raise ValueError(f"the amplitudes of image {i} are {style.amplitudes.shape}.")
            if style.quantiles.shape != (channels, QUANTILES):
                raise ValueError(f"the quantiles of image {i} are {style.quantiles.shape}.")
            if not (np.isfinite(style.amplitudes).all() and np.isfinite(style.quantiles).all()):
                raise ValueError(f"image {i} has NaN or infinite entries.")

    def check_model(self, path: Path, plans: str, data_identifier: str, sha256: str, made: Preprocessing) -> None:
        """Compares with the model that is about to be used.

        Raises:
            UserError: it is another than the bank was made for.
        """
        pairs = {
            "plans": (self.plans, plans),
            "data_identifier": (self.data_identifier, data_identifier),
            **{name: (getattr(self.preprocessing, name), value) for name, value in dataclasses.asdict(made).items()},
            "SHA-256 of the checkpoint": (self.checkpoint_sha256, sha256),
        }
        for name, (there, here) in pairs.items():
            if there != here:
                raise UserError(
                    f"{path} was made for another model: {name} is {_text(there)} there, {_text(here)} here.",
                    f"Delete it and make it again with `{COMMAND}`, or name the model and the checkpoint (-chk) that "
                    "it was made for.",
                )


def typical_cycle(steps: NDArray[np.float64]) -> float:
    """One cycle in a cube (in 2D a square) as large as an image, the median of the images, in cycles per mm.

    Args:
        steps: `frequencies.one_cycle` of each image, `(n, d)`.
    """
    return float(np.median(np.exp(np.log(steps).mean(1))))


def _amplitudes(i: int) -> str:
    return f"amplitudes_{i:05d}"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
