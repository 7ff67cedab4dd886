"""What an examination gives: a list of findings, as a table and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from nnunetv2_factorizer.errors import UserError


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    name: str
    status: Literal["ok", "warning", "error"]
    what: str
    remedy: str = ""


def from_error(name: str, error: UserError | OSError) -> Finding:
    """An error finding from what is wrong with a file."""
    if isinstance(error, UserError):
        return Finding(name, "error", error.cause, error.remedy.replace("\n", " "))
    return Finding(name, "error", str(error), "Give the path of a file that exists and can be read.")


def healthy(findings: Sequence[Finding]) -> bool:
    """Whether there is no error among them."""
    return all(finding.status != "error" for finding in findings)


def as_table(findings: Sequence[Finding]) -> str:
    """A line each, and the remedy below."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.status:<8} {finding.name:<{width}}  {finding.what}")
        if finding.remedy:
            lines.append(f"{'':<8} {'':<{width}}  -> {finding.remedy}")
    return "\n".join(_printable(line) for line in lines)


def as_json(findings: Sequence[Finding]) -> str:
    """`ok` of them all, and every finding with name, status, what and remedy."""
    return json.dumps({"ok": healthy(findings), "findings": [asdict(finding) for finding in findings]}, indent=2)


def _printable(text: str) -> str:
    """Names come from files: what could steer a terminal is shown as its number."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
