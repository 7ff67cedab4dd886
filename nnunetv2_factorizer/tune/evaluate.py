"""Validation cases in every setting: predicted by nnU-Net's predictor, timed, compared with the truth."""

import time
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from nnunetv2.configuration import default_num_processes
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.utilities.label_handling.label_handling import convert_labelmap_to_one_hot
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from numpy.typing import NDArray
from torch import Tensor

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.images import segment
from nnunetv2_factorizer.inference.labels import foreground
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.models.trained import TrainedModel, patch_shape, trained_network, tuned_network
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.tune.metrics import evaluate
from nnunetv2_factorizer.tune.settings import Setting


@dataclass(frozen=True)
class ValidationCase:
    """A validation case, to be predicted by the model of its fold."""

    fold: str
    name: str


@dataclass(frozen=True)
class LoadedCase:
    """What a case is predicted from, `(C, *S)`, and compared with, `(z, y, x)`."""

    data: Tensor
    properties: dict[str, Any]
    truth: NDArray
    spacing: Sequence[float]
    """Of the truth, `(z, y, x)` in mm."""


def validation_cases(model: TrainedModel, num_cases: int | None = None) -> list[ValidationCase]:
    """The validation cases of each fold in nnU-Net's splits, or the first `num_cases` of each.

    Raises:
        UserError: the splits, a preprocessed case or its ground truth is missing, or a fold validates on nothing.
    """
    manager = PlansManager(deepcopy(model.plans))
    configuration, base = manager.get_configuration(model.configuration), _preprocessed(manager)
    remedy = "Set nnUNet_preprocessed to the folder that the model was trained from, or preprocess the data set again."
    splits_file, folder = base / "splits_final.json", base / configuration.data_identifier
    for path in (splits_file, folder, base / "gt_segmentations"):
        if not path.exists():
            raise UserError(f"{path} does not exist: there are no validation cases to measure.", remedy)
    splits = read_json(splits_file)
    preprocessed = set(infer_dataset_class(str(folder)).get_identifiers(str(folder)))
    cases = []
    for fold in model.checkpoints:
        if not fold.isdigit() or int(fold) >= len(splits):
            raise UserError(
                f"fold {fold} has no validation cases of its own in {splits_file}.",
                f"Give some of the folds 0 to {len(splits) - 1} with -f.",
            )
        names = sorted(splits[int(fold)]["val"])[:num_cases]
        for name in names:
            truth = base / "gt_segmentations" / (name + model.dataset_json["file_ending"])
            if name not in preprocessed or not truth.is_file():
                missing = truth if name in preprocessed else folder / name
                raise UserError(f"{missing} does not exist, a validation case of fold {fold}.", remedy)
        cases += [ValidationCase(fold, name) for name in names]
    return cases


def load_case(model: TrainedModel, predictor: nnUNetPredictor, name: str) -> LoadedCase:
    """Reads a preprocessed case as nnU-Net's own validation does, and its ground truth."""
    manager, configuration = predictor.plans_manager, predictor.configuration_manager
    base = _preprocessed(manager)
    folder, previous = str(base / configuration.data_identifier), _previous_stage(model, predictor)
    dataset = infer_dataset_class(folder)(folder, [name], folder_with_segs_from_previous_stage=previous)
    data, _, seg_prev, properties = dataset.load_case(name)
    data = data[:]
    if seg_prev is not None:
        labels = predictor.label_manager.foreground_labels
        data = np.vstack((data, convert_labelmap_to_one_hot(seg_prev[:], labels, output_dtype=data.dtype)))
    truth_file = base / "gt_segmentations" / (name + predictor.dataset_json["file_ending"])
    truth, of_truth = manager.image_reader_writer_class().read_seg(str(truth_file))
    return LoadedCase(torch.from_numpy(data), properties, truth[0], of_truth["spacing"])


def measure(
    model: TrainedModel,
    predictors: dict[str, nnUNetPredictor],
    cases: Sequence[ValidationCase],
    settings: Sequence[Setting],
    *,
    show_progress: bool = True,
) -> pd.DataFrame:
    """Predicts every case in every setting.

    All settings run on one case before the next, in the opposite order on every second one, so that a machine that
    becomes slower does so for all of them.

    Args:
        model: whose weights all settings share.
        predictors: of each fold; their networks are replaced.
        cases: to predict.
        settings: to measure.
        show_progress: with a bar of the cases.

    Returns:
        One row a case and setting: `setting`, `fold`, `case`, `seconds` of the sliding window alone, `dice` and `hd95`
        in mm averaged over the labels, and `labels`, both for each.
    """
    weights = {fold: trained_network(model, fold, p.device).state_dict() for fold, p in predictors.items()}
    labels = foreground(model.dataset_json)

    def work(numbered: tuple[int, ValidationCase]) -> list[dict[str, Any]]:
        number, case = numbered
        predictor = predictors[case.fold]
        loaded = load_case(model, predictor, case.name)
        rows = []
        for setting in settings if number % 2 == 0 else reversed(settings):
            network = tuned_network(model, setting.changes, weights[case.fold])
            logits, seconds = timed_logits(predictor, network, loaded.data)
            prediction = segment(predictor, logits, loaded.properties)
            ignore_label = predictor.label_manager.ignore_label
            metrics = evaluate(prediction, loaded.truth, loaded.spacing, labels, ignore_label)
            means = {name: np.mean([values[name] for values in metrics.values()]) for name in ("dice", "hd95")}
            rows.append(
                {"setting": setting.name, "fold": case.fold, "case": case.name, "seconds": seconds}
                | means
                | {"labels": metrics}
            )
        return rows

    _warm_up(
        model, predictors[cases[0].fold], (tuned_network(model, s.changes, weights[cases[0].fold]) for s in settings)
    )
    measured = map_cases(work, list(enumerate(cases)), show_progress=show_progress)
    return pd.DataFrame(list(chain.from_iterable(measured)))


def timed_logits(predictor: nnUNetPredictor, network: Factorizer, data: Tensor) -> tuple[Tensor, float]:
    """Logits `(num_classes, *S)` of data `(C, *S)` through nnU-Net's sliding window, and the seconds that they took.

    nnU-Net would compile the network if `nnUNet_compile` says so; here it never is.
    """
    predictor.network, predictor.list_of_parameters = network, [network.state_dict()]
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, default_num_processes))  # as nnU-Net does around its sliding window
    _synchronise(predictor.device)
    start = time.perf_counter()
    # Not predict_logits_from_preprocessed_data, which loads the weights again before the window comes over the image.
    logits = predictor.predict_sliding_window_return_logits(data)
    _synchronise(predictor.device)
    seconds = time.perf_counter() - start
    torch.set_num_threads(threads)
    return logits.cpu(), seconds


def _warm_up(model: TrainedModel, predictor: nnUNetPredictor, networks: Iterable[Factorizer]) -> None:
    """One tile through each network: the first use of a kernel or of a shape takes longer."""
    channels, *patch = patch_shape(model)
    tile = torch.zeros(channels, *[1] * (3 - len(patch)), *patch)  # of 2D configurations nnU-Net predicts slices
    for network in networks:
        timed_logits(predictor, network, tile)


def _preprocessed(manager: PlansManager) -> Path:
    return nnunet_folder("nnUNet_preprocessed") / manager.dataset_name


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _previous_stage(model: TrainedModel, predictor: nnUNetPredictor) -> str | None:
    """Where nnU-Net's training of the previous stage of a cascade has left its segmentations."""
    previous = predictor.configuration_manager.previous_stage_name
    if previous is None:
        return None
    trainer, plans, configuration = model.folder.name.split("__")
    return str(model.folder.with_name(f"{trainer}__{plans}__{previous}") / "predicted_next_stage" / configuration)
