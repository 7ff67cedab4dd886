"""From the training images of a fold to its style bank."""

from functools import partial
from pathlib import Path

import numpy as np
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_factorizer.adaptation.style.bank import FILE, KEPT_CYCLES, Bank, Style, typical_cycle
from nnunetv2_factorizer.adaptation.style.frequencies import one_cycle
from nnunetv2_factorizer.adaptation.style.preprocessing import Preprocessing
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference.cases import map_cases
from nnunetv2_factorizer.inference.preprocessed_cases import FoldCases, fold_cases
from nnunetv2_factorizer.models.checkpoint import read_checkpoint
from nnunetv2_factorizer.models.folders import require_checkpoint
from nnunetv2_factorizer.models.identity import sha256
from nnunetv2_factorizer.models.json_files import read_json


def make_bank(
    folder: Path, fold: str, checkpoint_name: str, radius: float | None = None, *, show_progress: bool = False
) -> tuple[Path, Bank]:
    """Makes the style bank of a trained fold and writes it beside its checkpoint. Memory holds one image at a time.

    Args:
        folder: of the model.
        fold: such as `0` or `all`.
        checkpoint_name: in the folder of the fold.
        radius: up to which amplitudes are kept, cycles per mm; None: `KEPT_CYCLES` of the typical image.
        show_progress: whether there is a bar.

    Raises:
        UserError: there is a bank already, or no such model, or its training images are missing or have other channels.
    """
    checkpoint_path = require_checkpoint(folder, fold, checkpoint_name)
    path = checkpoint_path.parent / FILE
    if path.exists():
        raise UserError(f"{path} exists and was not changed.", "Use it, or delete it first.")
    dataset_json, plans = read_json(folder / "dataset.json"), PlansManager(read_json(folder / "plans.json"))
    configuration_name = read_checkpoint(str(checkpoint_path))["init_args"]["configuration"]
    configuration = plans.get_configuration(configuration_name)
    preprocessing = Preprocessing.of(configuration, dataset_json)
    cases = fold_cases(plans.dataset_name, configuration, fold, "a style bank")
    if radius is None:
        sizes = [cases.size(name) for name in cases.train]
        radius = KEPT_CYCLES * typical_cycle(np.stack([one_cycle(size, preprocessing.spacing) for size in sizes]))
    work = partial(_style, cases, preprocessing, radius)
    styles = list(map_cases(work, cases.train, show_progress=show_progress))
    bank = Bank(
        plans.plans_name, configuration.data_identifier, sha256(checkpoint_path), preprocessing, radius, styles
    )  # fmt: skip
    bank.save(path)
    return path, bank


def _style(cases: FoldCases, preprocessing: Preprocessing, radius: float, name: str) -> Style:
    image = cases.image(name)
    if len(image) != len(preprocessing.channels):
        raise UserError(
            f"the preprocessed training image {name} has {len(image)} channels, the model "
            f"{len(preprocessing.channels)}: {', '.join(preprocessing.channels)}.",
            "Preprocess the data set again as for the training of this model.",
        )
    if not image.isfinite().all():
        raise UserError(
            f"the preprocessed training image {name} has NaN or infinite voxels.",
            "Mend the image and preprocess the data set again.",
        )
    return Style.of(image, preprocessing, radius)
