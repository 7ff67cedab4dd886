"""The file of a run: a JSON object a line, each one item of a section, with its numbers or with its error."""

import json
from pathlib import Path
from typing import Any

from nnunetv2_factorizer.models.atomic import replacing

Line = dict[str, Any]
"""`section`, `key`, and numbers; or `error` in place of the numbers."""

END = "end"
"""The key of the line that a section has at its end."""


def read(file: Path) -> list[Line]:
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def append(file: Path, line: Line) -> None:
    """Writes all of it at once: several processes do."""
    with file.open("ab", buffering=0) as stream:
        stream.write(f"{json.dumps(line)}\n".encode())


def keys(file: Path, section: str) -> set[str]:
    """The items of a section that have a line."""
    return {line["key"] for line in read(file) if line["section"] == section}


def drop_errors(file: Path) -> None:
    """What failed in a former run is measured anew, and so its section is not at its end."""
    lines = read(file)
    failed = {line["section"] for line in lines if "error" in line}
    kept = [line for line in lines if "error" not in line and not (line["key"] == END and line["section"] in failed)]
    if len(kept) < len(lines):
        with replacing(str(file)) as unfinished:
            Path(unfinished).write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")
