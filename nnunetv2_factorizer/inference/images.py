"""One image through nnU-Net's preprocessing, and its logits to a segmentation, as `nnUNetv2_predict` does it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.label_handling.label_handling import convert_labelmap_to_one_hot
from nnunetv2.utilities.utils import create_lists_from_splitted_dataset_folder
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Preprocessed:
    """An image as the network gets it, `(C, *S)`, and what nnU-Net needs to know to undo the preprocessing."""

    data: Tensor
    properties: dict[str, Any]


def find_images(folder: Path, file_ending: str) -> dict[str, list[str]]:
    """The files of the channels of each case in a folder of nnU-Net's naming, `CASE_0000.nii.gz` and so on.

    Raises:
        FileNotFoundError: there is none.
    """
    images = create_lists_from_splitted_dataset_folder(str(folder), file_ending, num_processes=1)
    if not images:
        raise FileNotFoundError(
            f"{folder} holds no images with the names that nnU-Net asks for.\n"
            f"Name them CASE_0000{file_ending}, CASE_0001{file_ending} ..., one a channel."
        )
    return {Path(files[0]).name[: -len("_0000" + file_ending)]: files for files in images}


def preprocess(predictor: nnUNetPredictor, files: Sequence[str], previous_stage: str | None = None) -> Preprocessed:
    """Reads and preprocesses one image.

    Args:
        predictor: initialised from a trained model.
        files: of the channels.
        previous_stage: the segmentation of the previous stage, for a cascade.

    Raises:
        ValueError: the model is the second stage of a cascade and there is no `previous_stage`, or the other way round.
    """
    configuration = predictor.configuration_manager
    if (name := configuration.previous_stage_name) is not None and previous_stage is None:
        raise ValueError(
            f"this model is the second stage of a cascade and needs segmentations of {name}.\n"
            "Predict with that configuration first, then give the folder with -prev_stage_predictions."
        )
    if name is None and previous_stage is not None:
        raise ValueError(
            "this model is not the second stage of a cascade and takes no segmentation of a previous stage.\n"
            "Leave out -prev_stage_predictions."
        )
    preprocessor = configuration.preprocessor_class(verbose=predictor.verbose_preprocessing)
    data, seg, properties = preprocessor.run_case(
        list(files), previous_stage, predictor.plans_manager, configuration, predictor.dataset_json
    )
    if previous_stage is not None:
        labels = predictor.label_manager.foreground_labels
        data = np.vstack((data, convert_labelmap_to_one_hot(seg[0], labels, data.dtype)))
    return Preprocessed(torch.from_numpy(data).to(torch.float32, memory_format=torch.contiguous_format), properties)


def segment(predictor: nnUNetPredictor, logits: Tensor, properties: dict[str, Any]) -> NDArray:
    """The segmentation `(z, y, x)` in the axes and the size of the image."""
    return convert_predicted_logits_to_segmentation_with_correct_shape(
        logits.numpy(), predictor.plans_manager, predictor.configuration_manager, predictor.label_manager, properties
    )
