"""The three folders of nnU-Net."""

import os
from pathlib import Path

from nnunetv2_factorizer.doctor.finding import Finding

NEEDED_FOR = {
    "nnUNet_raw": "planning and preprocessing",
    "nnUNet_preprocessed": "planning and training",
    "nnUNet_results": "training and prediction",
}
WRITTEN_TO = ("nnUNet_preprocessed", "nnUNet_results")


def examine() -> list[Finding]:
    """A finding a variable."""
    return [_folder(variable) for variable in NEEDED_FOR]


def _folder(variable: str) -> Finding:
    value = os.environ.get(variable)
    export = f"export {variable}=/the/folder"
    if value is None:
        return Finding(variable, "warning", f"is not set; {NEEDED_FOR[variable]} need it", export)
    if not Path(value).is_dir():
        return Finding(variable, "error", f"{value!r} is no folder", f"Create it, or {export}")
    if variable in WRITTEN_TO and not os.access(value, os.W_OK):
        return Finding(variable, "error", f"{value} cannot be written to", f"Change its permissions, or {export}")
    return Finding(variable, "ok", value)
