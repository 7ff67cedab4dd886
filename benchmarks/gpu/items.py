"""What a section is given: it names its items and how each is measured, and they get a line each."""

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.gpu.lines import Line, append, keys, read

BEGUN = "measuring: "
"""Printed before a key: what a process that dies was at."""

ERROR_LENGTH = 800


class Items:
    """The items of one section in this process.

    Args:
        file: where their lines go.
        section: its name.
        seconds: that are left to it.
        part: of `parts` processes that share the items of the section; this one has those of its number.
        parts: how many there are.
    """

    def __init__(self, file: Path, section: str, seconds: float, part: int = 0, parts: int = 1) -> None:
        self.file, self.section, self.part, self.parts = file, section, part, parts
        self._deadline = time.monotonic() + seconds
        self._number = count()
        self._known = keys(file, section)

    @property
    def seconds_left(self) -> float:
        return self._deadline - time.monotonic()

    def line(self, key: str) -> Line:
        """The numbers of an item that has been measured.

        Raises:
            LookupError: it has not.
        """
        for line in read(self.file):
            if (line["section"], line["key"]) == (self.section, key) and "error" not in line:
                return line
        raise LookupError(f"{key!r} of {self.section}, by which this is measured, has no numbers")

    def measure(self, key: str, function: Callable[[], dict[str, Any]]) -> None:
        """Writes what `function` gives, or its error, unless the file has a line of this key or it is another part's.

        Raises:
            RuntimeError: the error has left the GPU unusable. A new process can go on behind this item.
        """
        if next(self._number) % self.parts != self.part or key in self._known:
            return
        print(f"{BEGUN}{key}", flush=True)
        try:
            numbers = function()
        except Exception as error:  # whatever it is: the other items shall be measured
            numbers = {"error": f"{type(error).__name__}: {error}"[:ERROR_LENGTH]}
        append(self.file, {"section": self.section, "key": key, **numbers})
        if "error" in numbers:
            from benchmarks.measure import synchronise  # PyTorch only where a section needs it

            synchronise()
