"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
