"""Which module is a stage of the encoder, in a Factorizer and in nnU-Net's own U-Nets."""

from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import nn

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.tiles import uncompiled


def select_stage(predictor: nnUNetPredictor, name: str | None = None) -> str:
    """The name of a stage of the encoder, after a look whether there is one.

    Args:
        predictor: initialised from a trained model.
        name: such as `encoder.stages.3`, 0 is the highest resolution; default the second to last, whose features make
            better clusters than those of the last (Gildenblat and Hadar).

    Raises:
        UserError: the network has no such stage, or no stages at all.
    """
    network = uncompiled(predictor.network)
    stages = getattr(getattr(network, "encoder", None), "stages", None)
    if not isinstance(stages, nn.ModuleList | nn.Sequential):
        raise UserError(
            f"the network of this model is a {type(network).__name__} without encoder.stages.",
            "Name a model with a Factorizer, a PlainConvUNet or a ResidualEncoderUNet.",
        )
    names = [f"encoder.stages.{index}" for index in range(len(stages))]
    if name is None:
        return names[max(0, len(names) - 2)]
    if name not in names:
        raise UserError(f"{name} is no stage of this model's encoder.", f"Choose from {', '.join(names)}.")
    return name
