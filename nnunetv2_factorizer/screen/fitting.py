"""From the preprocessed training cases of a fold to its statistics."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray

from nnunetv2_factorizer.case_metadata import Value, group_cases, metadata_folder
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.images import channel_names
from nnunetv2_factorizer.inference.load_image import require_image_alone
from nnunetv2_factorizer.inference.preprocessed_cases import FoldCases, fold_cases
from nnunetv2_factorizer.models.folders import require_checkpoint
from nnunetv2_factorizer.models.identity import sha256
from nnunetv2_factorizer.screen.descriptors import Typical, describe
from nnunetv2_factorizer.screen.features import early_features
from nnunetv2_factorizer.screen.statistics import Entry, Statistics

FEWEST = 4
"""Training cases: with fewer, there is no telling how much they differ."""

PARTS = 5
"""A training case is held out with a fifth of its group."""

QUANTILE = 0.95
"""Share of the held-out cases that are not called shifted."""


def fit_statistics(
    predictor: nnUNetPredictor,
    model_folder: Path,
    fold: str,
    checkpoint: str,
    column: str | None = None,
    *,
    show_progress: bool = False,
) -> Statistics:
    """Statistics of the training cases, and the distances of held-out cases that give them a unit.

    Validation cases are held out by the fold. Training cases are held out in turns: their distance is to statistics
    of the other four fifths. A small fold has too few validation cases to tell what is usual.

    Args:
        predictor: initialised with that fold alone.
        model_folder: `DATASET/TRAINER__PLANS__CONFIGURATION`.
        fold: such as `0` or `all`.
        checkpoint: name of the file.
        column: of `case_metadata.json`; each of its values then has an entry, and distance is to the nearest one.
        show_progress: whether there is a progress bar.

    Raises:
        UserError: the preprocessed data, the splits, a case or its metadata are missing, or there are too few cases.
    """
    require_image_alone(predictor)
    dataset = predictor.plans_manager.dataset_name
    cases = fold_cases(dataset, predictor.configuration_manager, fold, "the screen")
    groups: dict[Value | None, list[str]] = {None: cases.train}
    if column is not None:
        groups = dict(group_cases(metadata_folder(dataset), column, cases.train).items())
    for value, names in groups.items():
        if len(names) < FEWEST:
            where = f"fold {fold}" if value is None else f"fold {fold} with {column} {value!r}"
            raise UserError(
                f"there are {len(names)} training cases of {where}.",
                f"At least {FEWEST} are needed, and tens are better."
                + ("" if value is None else " Leave out --by, or give small groups one value."),
            )
    names = [*cases.train, *cases.validation]
    measured = list(map_cases(partial(_measure, predictor, cases), names, show_progress=show_progress))
    features = {name: z for name, (z, _) in zip(names, measured, strict=True)}
    descriptors = [found for _, found in measured[: len(cases.train)]]
    entries = _entries(features, groups)
    distances = cross_fitted(features, groups) | {n: _nearest(features[n], entries) for n in cases.validation}
    unit = unit_of(distances)
    return Statistics(
        dataset=dataset,
        configuration=model_folder.resolve().name.split("__")[-1],
        trainer=predictor.trainer_name,
        fold=fold,
        checkpoint=checkpoint,
        checkpoint_sha256=sha256(require_checkpoint(model_folder, fold, checkpoint)),
        channels=len(channel_names(predictor.dataset_json)),
        column=column,
        entries=tuple(entries),
        unit=unit,
        held_out={name: distances[name] / unit for name in sorted(distances)},
        descriptors={name: _typical([found[name] for found in descriptors]) for name in descriptors[0]},
    )


def _measure(predictor: nnUNetPredictor, cases: FoldCases, name: str) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Features and descriptors of a case; training and prediction preprocess images in the same way."""
    data = cases.image(name)
    return early_features(predictor, data), describe(predictor, data)


def _entries(features: Mapping[str, NDArray[np.float64]], groups: Mapping[Value | None, Sequence[str]]) -> list[Entry]:
    return [Entry.of(np.stack([features[name] for name in names]), value) for value, names in groups.items()]


def _nearest(features: NDArray[np.float64], entries: Sequence[Entry]) -> float:
    return min(entry.distance(features) for entry in entries)


def cross_fitted(
    features: Mapping[str, NDArray[np.float64]], groups: Mapping[Value | None, Sequence[str]]
) -> dict[str, float]:
    """The distance of each training case to the statistics of those that are in another part of their group.

    Args:
        features: of each case, `(F,)`.
        groups: value of a column to its cases; `{None: cases}` where there is no column.
    """
    distances: dict[str, float] = {}
    for part in range(PARTS):
        held_out = [name for names in groups.values() for name in names[part::PARTS]]
        if held_out:
            out = set(held_out)
            entries = _entries(features, {v: [n for n in names if n not in out] for v, names in groups.items()})
            distances |= {name: _nearest(features[name], entries) for name in held_out}
    return distances


def unit_of(distances: Mapping[str, float]) -> float:
    """The distance that 95 % of held-out cases are below.

    Raises:
        UserError: it is 0.
    """
    unit = float(np.quantile(list(distances.values()), QUANTILE, method="higher"))
    if unit == 0:
        raise UserError("all training cases look the same to the network.", "Look at the images of the data set.")
    return unit


def _typical(values: Sequence[float]) -> Typical:
    return Typical(float(np.mean(values)), float(np.std(values, ddof=1)))
