"""The table of faults names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "faults.md"


def test_every_row_has_a_test_that_exists() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and "---" not in line]
    rows = [row for row in rows if not row.endswith("| test |")]
    known = {
        name
        for room in ("models", "training", "faults", "doctor")
        for path in (TESTS / room).glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(rows) >= 25
    for row in rows:
        named = set(re.findall(r"`(test_\w+)`", row.rpartition(" | ")[2]))
        assert named, row
        assert named <= known, named - known
