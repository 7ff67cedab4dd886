"""From nnU-Net's preprocessed space back to the image: what nnU-Net does to logits, for maps."""

from typing import Any

import numpy as np
from acvl_utils.cropping_and_padding.bounding_boxes import insert_crop_into_image
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray


def to_image_space(preprocessed: NDArray, predictor: nnUNetPredictor, properties: dict[str, Any]) -> NDArray:
    """A map of the image as its reader gave it, zero where nnU-Net had cropped; resampled as nnU-Net resamples logits.

    Args:
        preprocessed: `(*S)` of the preprocessed image.
        predictor: of the model.
        properties: what the preprocessing found out about the image.
    """
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    cropped_shape = properties["shape_after_cropping_and_before_resampling"]
    spacing = [properties["spacing"][axis] for axis in plans.transpose_forward]
    planned = list(configuration.spacing)
    if len(planned) < len(cropped_shape):  # a network in 2D: slices are not resampled
        planned = [spacing[0], *planned]
    resampled = configuration.resampling_fn_probabilities(preprocessed[None], cropped_shape, planned, spacing)
    full = np.zeros(properties["shape_before_cropping"], np.float32)
    full = insert_crop_into_image(full, np.asarray(resampled)[0], properties["bbox_used_for_cropping"])
    return full.transpose(plans.transpose_backward)
