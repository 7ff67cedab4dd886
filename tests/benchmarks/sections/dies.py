"""Takes its process along at one item, and fails at another."""

import os
from typing import Any

from benchmarks.gpu.items import Items


def run(items: Items) -> None:
    items.measure("before", lambda: {"process": os.getpid()})
    items.measure("fatal", lambda: os._exit(3))
    items.measure("wrong", wrong)
    items.measure("after", lambda: {"process": os.getpid()})


def wrong() -> dict[str, Any]:
    raise ValueError("as it must be")
