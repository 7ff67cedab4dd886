"""nnU-Net's model zip, as `nnUNetv2_install_pretrained_model_from_zip` takes it."""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from nnunetv2.utilities.file_path_utilities import (
    convert_trainer_plans_config_to_identifier,
    folds_tuple_to_string,
)
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.installation import released_from
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.checkpoint import read_checkpoint
from nnunetv2_factorizer.models.folders import require_checkpoint
from nnunetv2_factorizer.models.json_files import read_json
from nnunetv2_factorizer.models.standalone import (
    STOCK_TRAINER,
    check_predictions,
    origin,
    standalone_checkpoint,
    standalone_plans,
)

ORIGIN = "factorizer_export.json"
FOLD_FILES = ("progress.png", "network_architecture.pdf", "validation/summary.json")
CROSSVAL_FILES = ("summary.json", "postprocessing.pkl", "postprocessing.json")
MODEL_FILES = ("dataset.json", "dataset_fingerprint.json")
"""What nnU-Net exports of a fold, of the cross-validation, and of the model, where it is there."""


def export_models(
    model_folders: Sequence[Path], output: Path, folds: Sequence[str], checkpoint_names: Sequence[str]
) -> list[str]:
    """Writes trained models into one zip and gives their folders in it; the models are only read.

    Args:
        model_folders: `DATASET/TRAINER__PLANS__CONFIGURATION` in nnU-Net's results, one a configuration.
        output: the zip, must not exist. It is there when it is complete, and not before.
        folds: of each model, such as `"0"` or `"all"`.
        checkpoint_names: of each fold.

    Raises:
        UserError: `output` exists, a fold or a checkpoint is missing, or the exported model would not predict the same.
    """
    if output.exists():
        raise UserError(f"{output} exists and was not changed.", "Give another file with -o, or delete it.")
    with replacing(str(output)) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        exported = [_add_model(archive, folder, folds, checkpoint_names) for folder in model_folders]
    return exported


def _add_model(archive: zipfile.ZipFile, folder: Path, folds: Sequence[str], checkpoint_names: Sequence[str]) -> str:
    paths = [require_checkpoint(folder, fold, name) for fold in folds for name in checkpoint_names]
    plans, dataset_json = read_json(folder / "plans.json"), read_json(folder / "dataset.json")
    first = read_checkpoint(str(paths[0]))
    trainer = recursive_find_trainer_class_by_name(first["trainer_name"])
    standalone = standalone_plans(plans, trainer)
    configuration = first["init_args"]["configuration"]
    identifier = convert_trainer_plans_config_to_identifier(STOCK_TRAINER, standalone["plans_name"], configuration)
    target = f"{plans['dataset_name']}/{identifier}"
    record = origin(trainer, plans) | {"installed": released_from()}
    for path in paths:
        checkpoint = read_checkpoint(str(path))
        check_predictions(checkpoint, trainer, plans, standalone, dataset_json)
        buffer = io.BytesIO()
        torch.save(standalone_checkpoint(checkpoint, standalone, record), buffer)
        archive.writestr(f"{target}/{path.parent.name}/{path.name}", buffer.getbuffer())
    for name, content in (("plans.json", standalone), (ORIGIN, record)):
        archive.writestr(f"{target}/{name}", json.dumps(content, indent=4))
    for name in _unchanged_files(folder, folds):
        archive.write(folder / name, f"{target}/{name}")
    return target


def _unchanged_files(folder: Path, folds: Sequence[str]) -> list[str]:
    crossval = f"crossval_results_folds_{folds_tuple_to_string(folds)}"
    names = [f"fold_{fold}/{name}" for fold in folds for name in FOLD_FILES]
    names += [f"{crossval}/{name}" for name in CROSSVAL_FILES]
    return [name for name in [*names, *MODEL_FILES] if (folder / name).is_file()]
