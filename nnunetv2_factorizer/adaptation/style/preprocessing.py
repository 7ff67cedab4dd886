"""What nnU-Net's preprocessing did to the images of a model: as much of it as restyling must know."""

from dataclasses import dataclass
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager
from torch import Tensor

from nnunetv2_factorizer.inference.images import channel_names

OUTSIDE = 1e-3
"""Values nearer to 0 are outside of the mask: resampling leaves ripples of the brain there."""


@dataclass(frozen=True)
class Preprocessing:
    """What images look like when a network gets them.

    Attributes:
        spacing: mm, one for each axis of the network: two where it sees slices.
        channels: names.
        normalisation: nnU-Net's name of it, one a channel.
        masked: whether a channel was normalised inside the nonzero region alone, and is 0 outside of it.
    """

    spacing: tuple[float, ...]
    channels: tuple[str, ...]
    normalisation: tuple[str, ...]
    masked: tuple[bool, ...]

    @classmethod
    def of(cls, configuration: ConfigurationManager, dataset_json: dict[str, Any]) -> "Preprocessing":
        """As the plans and the data set of a model say."""
        return cls(
            tuple(float(mm) for mm in configuration.spacing),
            tuple(map(str, channel_names(dataset_json))),
            tuple(configuration.normalization_schemes),
            tuple(bool(masked) for masked in configuration.use_mask_for_norm),
        )

    def z_scored(self, channel: int) -> bool:
        """Whether each image has mean 0 and standard deviation 1."""
        return self.normalisation[channel] == "ZScoreNormalization"

    def inside(self, image: Tensor) -> Tensor:
        """Which voxels of an image `(C, *S)` the normalisation looked at, as booleans; all of a channel if none."""
        found = torch.ones(image.shape, dtype=torch.bool)
        for channel, masked in enumerate(self.masked):
            nonzero = image[channel].abs() > OUTSIDE
            if masked and nonzero.any():
                found[channel] = nonzero
        return found
