"""JSON as nnU-Net's files hold it."""

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """The content of a file in UTF-8, whatever the system's own encoding is (on Windows, another one)."""
    return json.loads(path.read_text(encoding="utf-8"))
