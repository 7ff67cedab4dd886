"""One case of `nnUNetv2_factorizer_explain`: prediction, maps and report, there when they are complete."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.inference.export_prediction import export_prediction_from_logits
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.explain.association import associate
from nnunetv2_factorizer.explain.components import LayerComponents, decomposed
from nnunetv2_factorizer.explain.pictures import CasePictures, LayerPictures, MapPictures
from nnunetv2_factorizer.explain.report import write_report
from nnunetv2_factorizer.inference.image_space import to_image_space
from nnunetv2_factorizer.inference.images import Case, preprocess, read
from nnunetv2_factorizer.inference.labels import foreground
from nnunetv2_factorizer.inference.nifti import direction_of, write_map


def explain_case(
    case: Case,
    *,
    predictor: nnUNetPredictor,
    model: str,
    folds: Sequence[str],
    layers: Sequence[str],
    output: Path,
    save_probabilities: bool = False,
) -> Path:
    """Writes `CASE` with the file ending of the data set, as `nnUNetv2_predict` does, and a folder `CASE` beside it.

    In the folder are `report.html`, `report.json`, a picture a layer and `fold_X/LAYER/*.nii.gz`, a map a component.

    Args:
        case: what to explain.
        predictor: initialised from a trained Factorizer.
        model: a name for it in the report.
        folds: names of the predictor's folds.
        layers: as `select_layers` takes them.
        output: the folder to write into.
        save_probabilities: as in `nnUNetv2_predict`.

    Returns:
        The report.
    """
    unfinished = output / f".{case.name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)  # of an earlier run that was ended
    unfinished.mkdir()
    try:
        explained = unfinished / case.name
        explained.mkdir()
        _explain(case, predictor, model, folds, layers, explained, save_probabilities)
        for file in unfinished.iterdir():
            if file != explained:
                file.rename(output / file.name)
        explained.rename(output / case.name)  # last: it says that the case is done
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return output / case.name / "report.html"


def _explain(
    case: Case,
    predictor: nnUNetPredictor,
    model: str,
    folds: Sequence[str],
    layers: Sequence[str],
    folder: Path,
    save_probabilities: bool,
) -> None:
    plans, dataset_json = predictor.plans_manager, predictor.dataset_json
    reader = plans.image_reader_writer_class()
    image, properties = read(predictor, case.images)
    segmentations = {}
    if case.labels is not None:
        segmentations["labels"] = _labels(reader.read_seg(str(case.labels))[0])
        if segmentations["labels"].shape != image.shape[1:]:
            raise UserError(
                f"{case.labels} has {segmentations['labels'].shape} voxels, the image has {image.shape[1:]}.",
                "Give the labels of this image with --labels, or leave it out.",
            )
    preprocessed = preprocess(predictor, image, properties, case.previous_stage)
    with decomposed(predictor, preprocessed.data, layers, folder) as (logits, decomposition):
        prediction_file = str(folder.parent / case.name)
        export_prediction_from_logits(
            logits.numpy(), preprocessed.properties, predictor.configuration_manager, plans, dataset_json,
            prediction_file, save_probabilities,
        )  # fmt: skip
        segmentations["prediction"] = _labels(reader.read_seg(prediction_file + dataset_json["file_ending"])[0])
        reference = next(iter(segmentations.values()))
        values = foreground(dataset_json)
        masks = {name: np.isin(reference, of_label) for name, of_label in values.items()}
        ignored = predictor.label_manager.ignore_label
        valid = None if ignored is None else reference != ignored
        shown = {name: np.where(s == ignored, 0, s) for name, s in segmentations.items()}
        pictures = CasePictures.of(image, shown, values, properties["spacing"], direction_of(properties))
        described = [
            _describe(layer, folds[layer.fold], predictor, preprocessed.properties, pictures, masks, valid, folder)
            for layer in decomposition
        ]
    write_report(folder, case=case.name, model=model, pictures=pictures, layers=described)


def _describe(
    layer: LayerComponents,
    fold: str,
    predictor: nnUNetPredictor,
    properties: dict[str, Any],
    pictures: CasePictures,
    masks: dict[str, NDArray[np.bool_]],
    valid: NDArray[np.bool_] | None,
    folder: Path,
) -> LayerPictures:
    """Writes the maps of a layer one after another and keeps what the report shows of them."""
    maps = folder / f"fold_{fold}" / layer.layer
    maps.mkdir(parents=True)

    def describe(name: str, preprocessed_map: NDArray) -> MapPictures:
        volume = to_image_space(preprocessed_map, predictor, properties)
        write_map(volume, maps / f"{name.replace(', ', '_').replace(' ', '_')}.nii.gz", properties)
        return MapPictures.of(name, volume, pictures.view, associate(volume, masks, valid))

    components = [describe(name, layer.component(index)) for index, name in enumerate(layer.names)]
    return LayerPictures(layer.layer, fold, layer.explained(), components, describe("residual", layer.residual()))


def _labels(segmentation: NDArray) -> NDArray[np.int64]:
    """`(z, y, x)` of what nnU-Net's reader gives, `(1, z, y, x)` of real numbers."""
    return segmentation[0].astype(np.int64)
