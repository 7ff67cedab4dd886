"""An image for a trained model, looked at before the network is: its channels and its values."""

import numpy as np
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.images import Case, Preprocessed, channel_names, preprocess, read


def load_image(predictor: nnUNetPredictor, case: Case) -> Preprocessed:
    """The preprocessed image `(C, *S)`.

    Raises:
        UserError: it has other channels than the training images, is constant, or has NaN or infinite voxels, or the
            model is the second stage of a cascade.
    """
    require_image_alone(predictor)
    image, image_properties = read(predictor, case.images)
    channels = channel_names(predictor.dataset_json)
    if len(image) != len(channels):
        raise UserError(
            f"{case.name} has {len(image)} channels, the model was trained with {len(channels)}: "
            f"{', '.join(channels)}.",
            "Give images with these channels in this order, or another model.",
        )
    if not np.isfinite(image).all():
        raise UserError(f"{case.name} has NaN or infinite voxels.", "Repair the image, or leave it out.")
    if all(channel.min() == channel.max() for channel in image):
        raise UserError(
            f"{case.name} is constant, {image.flat[0]:g} everywhere: there is nothing in it to see.",
            "Look at the image, and leave it out.",
        )
    return preprocess(predictor, image, image_properties)


def require_image_alone(predictor: nnUNetPredictor) -> None:
    """Raises a `UserError` where the model is the second stage of a cascade."""
    if (previous := predictor.configuration_manager.previous_stage_name) is not None:
        raise UserError(
            f"this model is the second stage of a cascade and sees segmentations of {previous} beside the image.",
            f"Give a model of {previous} or of another configuration that sees the image alone.",
        )
