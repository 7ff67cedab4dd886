"""Which module is a stage of the encoder, in a Factorizer and in nnU-Net's own U-Nets."""

from dataclasses import dataclass
from itertools import accumulate
from math import prod
from operator import mul

from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import nn

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.tiles import uncompiled
from nnunetv2_factorizer.models.folders import PRETRAINED

VOXELS = 4
"""How wide a position is at most where no size is asked for. Stages of 2 to 4 voxels were best in docs/concepts.md."""


@dataclass(frozen=True)
class Stage:
    """A stage of an encoder.

    Attributes:
        name: of the module, such as `encoder.stages.2`.
        position: voxels of the preprocessed image that one position of the stage stands for, one number an axis of the
            network.
        size: of a position, in mm: the edge of the cube, in 2D of the square, that has as much room. Thick slices do
            not count as a large size alone.
    """

    name: str
    position: tuple[int, ...]
    size: float


def select_stage(predictor: nnUNetPredictor, name: str | None = None, size: float | None = None) -> Stage:
    """A stage of the encoder, after a look whether there is one.

    Args:
        predictor: initialised from a trained model.
        name: such as `encoder.stages.3`, 0 is the highest resolution; default the deepest that has a `size`.
        size: in mm, that of a position at most; default that of a cube of `VOXELS` voxels a side.

    Raises:
        UserError: the network has no such stage, or no stages at all, or even its first one has larger positions.
    """
    stages = stages_of(predictor)
    if name is not None:
        if chosen := [stage for stage in stages if stage.name == name]:
            return chosen[0]
        names = ", ".join(stage.name for stage in stages)
        raise UserError(f"{name} is no stage of this model's encoder.", f"Choose from {names}.")
    if size is None:
        spacing = predictor.configuration_manager.spacing
        size = VOXELS * prod(spacing) ** (1 / len(spacing))
    # The root of a product is not exact: 4 mm must not be more than 4 mm.
    if small_enough := [stage for stage in stages if stage.size <= size * (1 + 1e-6)]:
        return small_enough[-1]
    raise UserError(
        f"no stage has positions of {size:g} mm or less; those of {stages[0].name}, the first, have "
        f"{stages[0].size:g} mm.",
        f"Give --size {stages[0].size:.8g} or more, or name a stage with --stage.",
    )


def stages_of(predictor: nnUNetPredictor) -> list[Stage]:
    """All stages of the encoder, highest resolution first.

    Raises:
        UserError: the network has none.
    """
    network = uncompiled(predictor.network)
    encoder = getattr(network, "encoder", None)
    if not isinstance(getattr(encoder, "stages", None), nn.ModuleList | nn.Sequential):
        raise UserError(
            f"the network of this model is a {type(network).__name__} without encoder.stages.",
            "Name a model with a Factorizer, a PlainConvUNet or a ResidualEncoderUNet; of a pre-training "
            f"-chk {PRETRAINED}, which it leaves when it is finished.",
        )
    configuration = predictor.configuration_manager
    spacing = configuration.spacing
    # The network knows best, since trainers may build another than the plans name.
    strides = getattr(encoder, "strides", None) or configuration.network_arch_init_kwargs["strides"]
    positions = accumulate((tuple(map(int, stride)) for stride in strides), lambda a, b: tuple(map(mul, a, b)))
    return [
        Stage(f"encoder.stages.{index}", position, prod(map(mul, position, spacing)) ** (1 / len(position)))
        for index, position in enumerate(positions)
    ]
