"""Which file it is."""

import hashlib
from pathlib import Path


def sha256(path: Path) -> str:
    """Of a file of any size, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
