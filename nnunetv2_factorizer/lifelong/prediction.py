"""Prediction with a pool: each image by the nearest member, as `nnUNetv2_predict` does it with that member."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from numpy.typing import NDArray

from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.images import Case
from nnunetv2_factorizer.inference.load_image import load_image
from nnunetv2_factorizer.lifelong.methods.odex import to_models
from nnunetv2_factorizer.lifelong.pool import Pool
from nnunetv2_factorizer.lifelong.seen import to_stages
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.screen.features import early_features

TABLE = "members.json"


@dataclass(frozen=True)
class Taken:
    """Which member takes an image: its number, and the distances of the image to all members."""

    member: int
    distances: tuple[float, ...]

    @property
    def distance(self) -> float:
        """To the member that takes it."""
        return self.distances[self.member]


def take(pool: Pool, features: Sequence[NDArray[np.float64]]) -> list[Taken]:
    """The nearest member of each image, the oldest of several that are equally near."""
    distances = to_models(to_stages(features, pool.seen), pool.histories, pool.history)
    return [Taken(int(row.argmin()), tuple(row.tolist())) for row in distances]


def take_cases(
    pool: Pool, folder: Path, cases: Sequence[Case], device: torch.device, *, show_progress: bool
) -> dict[str, Taken]:
    """The same for the files of images.

    Raises:
        UserError: an image cannot be used, see `load_image`.
    """
    eye = pool.load_eye(folder, device)
    features = list(map_cases(partial(_features, eye), cases, show_progress=show_progress))
    return dict(zip([case.name for case in cases], take(pool, features), strict=True))


def _features(eye: nnUNetPredictor, case: Case) -> NDArray[np.float64]:
    return early_features(eye, load_image(eye, case).data)


def write_table(path: Path, pool: Pool, taken: dict[str, Taken]) -> None:
    """Which member took which image, as JSON."""
    members = [{"folder": m.model.folder, "fold": m.model.fold, "sha256": m.model.sha256} for m in pool.members]
    cases = {name: {"member": t.member, "distance": t.distance, "distances": t.distances} for name, t in taken.items()}
    record = {"history": pool.history, "members": members, "cases": cases}
    with replacing(str(path)) as unfinished:
        Path(unfinished).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def predict_cases(
    pool: Pool,
    folder: Path,
    cases: Sequence[Case],
    taken: dict[str, Taken],
    output: Path,
    device: torch.device,
    settings: dict[str, Any],
    *,
    processes: tuple[int, int] = (0, 0),
    **how: Any,
) -> None:
    """Writes the segmentations, member after member.

    Args:
        pool: whose members predict.
        folder: of the pool.
        cases: files of the images.
        taken: which member takes each.
        output: folder, which exists.
        device: to predict on.
        settings: of `nnUNetPredictor`.
        processes: for preprocessing and for export; both 0: a single process does all.
        **how: arguments of nnU-Net's prediction from files.
    """
    for number, member in enumerate(pool.members):
        chosen = [case for case in cases if taken[case.name].member == number]
        if not chosen:
            continue
        predictor = member.model.load(folder, device, **settings)
        files = [list(case.images) for case in chosen]
        targets = [str(output / case.name) for case in chosen]
        if processes == (0, 0):
            predictor.predict_from_files_sequential(files, targets, **how)
        else:
            preprocessing, export = processes
            predictor.predict_from_files(
                files, targets, num_processes_preprocessing=preprocessing,
                num_processes_segmentation_export=export, **how,
            )  # fmt: skip
