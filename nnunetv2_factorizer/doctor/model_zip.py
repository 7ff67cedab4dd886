"""What a model zip holds (`nnUNetv2_export_model_to_zip`), before it is installed and without running any of it."""

import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from nnunetv2_factorizer.doctor.finding import Finding
from nnunetv2_factorizer.doctor.pickles import EXPECTED, listed_globals
from nnunetv2_factorizer.errors import UserError

DO_NOT_INSTALL = "Do not install this file, and load nothing of it."


def examine(path: Path) -> list[Finding]:
    """Findings on the names in the zip, then on each checkpoint in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            escaping = [member.filename for member in archive.infolist() if leaves_its_folder(member)]
            if escaping:
                what = f"refused: {', '.join(escaping)} would be written outside the folder that it is unpacked to"
                return [Finding("model zip", "error", what, DO_NOT_INSTALL)]
            checkpoints = [name for name in archive.namelist() if name.endswith(".pth")]
            what = f"{len(archive.namelist())} files, {len(checkpoints)} checkpoints"
            return [Finding("model zip", "ok", what), *(_checkpoint(archive, name) for name in checkpoints)]
    except (OSError, zipfile.BadZipFile) as error:
        return [Finding("model zip", "error", f"{path} cannot be read: {error}", "Take another copy of the file.")]


def leaves_its_folder(member: zipfile.ZipInfo) -> bool:
    """Whether unpacking the member could write elsewhere: by its path, on any system, or as a link."""
    paths = (PurePosixPath(member.filename), PureWindowsPath(member.filename))
    by_path = any(path.is_absolute() or path.drive or ".." in path.parts for path in paths)
    return by_path or stat.S_ISLNK(member.external_attr >> 16)


def _checkpoint(archive: zipfile.ZipFile, name: str) -> Finding:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkpoint.pth"
        with archive.open(name) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        try:
            names = listed_globals(copy)
        except UserError as error:
            return Finding(name, "error", error.cause, DO_NOT_INSTALL)
    unexpected = [asked for asked in names if asked not in EXPECTED]
    if unexpected:
        return Finding(name, "error", f"loading it would call {', '.join(unexpected)}", DO_NOT_INSTALL)
    return Finding(name, "ok", ", ".join(names))
