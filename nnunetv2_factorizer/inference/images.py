"""One image through nnU-Net's preprocessing, and its logits to a segmentation, as `nnUNetv2_predict` does it."""

from collections.abc import Mapping, Sequence
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

from nnunetv2_factorizer.errors import UserError


@dataclass(frozen=True)
class Preprocessed:
    """An image as the network gets it, `(C, *S)`, and what nnU-Net needs to know to undo the preprocessing."""

    data: Tensor
    properties: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """The files of one case: `images`, one a channel, and what belongs to them."""

    name: str
    images: tuple[str, ...]
    labels: Path | None = None
    """A segmentation to compare with."""
    previous_stage: Path | None = None
    """The segmentation that a cascade starts from."""


def channel_names(dataset_json: Mapping[str, Any]) -> list[str]:
    """Of the images of a data set; `modality` is nnU-Net v1's word, which nnU-Net still reads."""
    return list((dataset_json.get("channel_names") or dataset_json["modality"]).values())


def find_cases(folder: Path, file_ending: str) -> list[Case]:
    """The cases in a folder of nnU-Net's naming, `CASE_0000.nii.gz` and so on.

    Raises:
        UserError: there is none, or no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder.", "Give the folder of the images with -i.")
    images = create_lists_from_splitted_dataset_folder(str(folder), file_ending, num_processes=1)
    if not images:
        raise UserError(
            f"{folder} holds no images with the names that nnU-Net asks for.",
            f"Name them CASE_0000{file_ending}, CASE_0001{file_ending} ..., one a channel.",
        )
    return [Case(Path(files[0]).name[: -len("_0000" + file_ending)], tuple(files)) for files in images]


def read(predictor: nnUNetPredictor, images: Sequence[str]) -> tuple[NDArray, dict[str, Any]]:
    """The channels `(C, z, y, x)` as the reader of the data set gives them, and its properties."""
    return predictor.plans_manager.image_reader_writer_class().read_images(list(images))


def preprocess(
    predictor: nnUNetPredictor, image: NDArray, properties: dict[str, Any], previous_stage: Path | None = None
) -> Preprocessed:
    """Preprocesses one image that was read by `read`.

    Args:
        predictor: initialised from a trained model.
        image: `(C, z, y, x)`; it is not changed.
        properties: of the image.
        previous_stage: the segmentation of the previous stage, for a cascade.

    Raises:
        UserError: the model is the second stage of a cascade and there is no `previous_stage`, or the other way round.
    """
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    if (name := configuration.previous_stage_name) is not None and previous_stage is None:
        raise UserError(
            f"this model is the second stage of a cascade and needs segmentations of {name}.",
            "Predict with that configuration first, then give the folder with -prev_stage_predictions.",
        )
    if name is None and previous_stage is not None:
        raise UserError(
            "this model is not the second stage of a cascade and takes no segmentation of a previous stage.",
            "Leave out -prev_stage_predictions.",
        )
    seg = None
    if previous_stage is not None:
        seg, _ = plans.image_reader_writer_class().read_seg(str(previous_stage))
    preprocessor = configuration.preprocessor_class(verbose=predictor.verbose_preprocessing)
    data, seg, properties = preprocessor.run_case_npy(
        image, seg, dict(properties), plans, configuration, predictor.dataset_json
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
