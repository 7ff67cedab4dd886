"""An image for a trained model, looked at before the network is: its channels and its values."""

from dataclasses import dataclass

import numpy as np
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_factorizer.inference.images import Preprocessed, preprocess


@dataclass(frozen=True)
class Case:
    """An image: its name, and the files of its channels."""

    name: str
    files: tuple[str, ...]


def load_image(predictor: nnUNetPredictor, case: Case) -> Preprocessed:
    """The preprocessed image `(C, *S)`.

    Raises:
        ValueError: it has other channels than the training images, is constant, or has NaN or infinite voxels; or the
            model is the second stage of a cascade.
    """
    if (previous := predictor.configuration_manager.previous_stage_name) is not None:
        raise ValueError(
            f"this model is the second stage of a cascade and sees segmentations of {previous} beside the image.\n"
            f"Give a model of {previous} or of another configuration that sees the image alone."
        )
    # Preprocessing reads the files itself, and crops and normalises before anybody can look at the values.
    image, _ = predictor.plans_manager.image_reader_writer_class().read_images(list(case.files))
    channels = list(predictor.dataset_json["channel_names"].values())
    if len(image) != len(channels):
        raise ValueError(
            f"{case.name} has {len(image)} channels, the model was trained with {len(channels)}: "
            f"{', '.join(channels)}.\nGive images with these channels in this order, or another model."
        )
    if not np.isfinite(image).all():
        raise ValueError(f"{case.name} has NaN or infinite voxels.\nRepair the image, or leave it out.")
    if all(channel.min() == channel.max() for channel in image):
        raise ValueError(
            f"{case.name} is constant, {image.flat[0]:g} everywhere: there is nothing in it to find concepts in.\n"
            "Look at the image, and leave it out."
        )
    return preprocess(predictor, case.files)


def as_cases(images: dict[str, list[str]]) -> list[Case]:
    """Of what `find_images` found."""
    return [Case(name, tuple(files)) for name, files in images.items()]
