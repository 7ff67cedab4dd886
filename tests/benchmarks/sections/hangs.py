"""Does not come to an end, nor does a process that it has started."""

import subprocess
import time
from typing import Any

from benchmarks.gpu.items import Items


def run(items: Items) -> None:
    items.measure("child", lambda: {"process": subprocess.Popen(["sleep", "600"]).pid})
    items.measure("endless", endless)


def endless() -> dict[str, Any]:
    time.sleep(600)
    return {}
