"""Files and folders that are written whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnunetv2_factorizer.errors import UserError


@contextmanager
def replacing(path: str) -> Iterator[str]:
    """Gives the name of a file beside `path`, to be written in the block; it takes the place of `path` at the end.

    An exception in the block (a full disk, Ctrl-C) removes the new file and leaves `path` as it was. A block that
    writes nothing changes nothing.
    """
    target = Path(path)
    # The ranks of data-parallel training get here together, and only one of them writes.
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield str(unfinished)
        if unfinished.exists():
            with unfinished.open("r+b") as file:  # Windows synchronises only what is open for writing.
                os.fsync(file.fileno())  # Some file systems say only now that they are full.
            os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write into, which becomes `folder` at the end of the block, if nothing fails.

    Raises:
        UserError: `folder` exists.
    """
    if folder.exists():
        raise UserError(f"{folder} exists and was not changed.", "Give another folder with -o, or delete it.")
    unfinished = folder.absolute().with_name(f".{folder.absolute().name}.{os.getpid()}.tmp")
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
