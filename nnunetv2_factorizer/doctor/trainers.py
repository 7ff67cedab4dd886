"""Whether nnU-Net finds our trainers, and from where."""

import contextlib
import io
import os
import warnings
from pathlib import Path

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunetv2_factorizer.doctor.finding import Finding
from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder

REMEDY = 'eval "$(nnUNetv2_factorizer_env)", or put the line that nnUNetv2_factorizer_env prints into ~/.bashrc'


def examine() -> list[Finding]:
    """The variable, then a finding a trainer."""
    names = sorted(path.stem for path in trainers_folder().glob("nnUNetTrainer*.py"))
    return [_variable(), *map(_trainer, names)]


def find_trainer(name: str) -> type[nnUNetTrainer]:
    """The class that nnU-Net's own search gives, without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other people's modules
        return recursive_find_trainer_class_by_name(name)


def _variable() -> Finding:
    value = os.environ.get(VARIABLE)
    if value is None:
        return Finding(VARIABLE, "error", "is not set: nnU-Net finds its own trainers only", REMEDY)
    missing = [folder for folder in value.split(os.pathsep) if folder.strip() and not Path(folder).is_dir()]
    if missing:
        return Finding(VARIABLE, "error", f"names what is no folder: {', '.join(missing)}", REMEDY)
    return Finding(VARIABLE, "ok", value)


def _trainer(name: str) -> Finding:
    try:
        found = find_trainer(name)
    except Exception as error:  # Also what any module on the way raises when it is imported.
        cause = str(error).partition(" in ")[0].partition("\n")[0]
        return Finding(name, "error", f"nnU-Net's search ends in {type(error).__name__}: {cause}", REMEDY)
    folder = _folder_of(found.__module__)
    if folder == trainers_folder().resolve():
        return Finding(name, "ok", str(folder))
    return Finding(name, "error", f"nnU-Net takes another one of this name, from {folder or found.__module__}", REMEDY)


def _folder_of(module: str) -> Path | None:
    """The first of the folders, in nnU-Net's order, with a module of this name; None for nnU-Net's own trainers."""
    if module.startswith("nnunetv2."):
        return None
    folders = [Path(folder).resolve() for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder.strip()]
    file = Path(*module.split(".")).with_suffix(".py")
    return next((folder for folder in folders if (folder / file).is_file()), None)
