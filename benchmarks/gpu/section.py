"""One section in a process of its own: `python -m benchmarks.gpu.section MODULE FILE SECONDS PART PARTS`.

The module has a function `run(items: Items) -> None`, and its last name is that of the section.
"""

import sys
from importlib import import_module
from pathlib import Path

from benchmarks.gpu.items import Items


def main() -> None:
    module, file, seconds, part, parts = sys.argv[1:]
    items = Items(Path(file), module.rpartition(".")[2], float(seconds), int(part), int(parts))
    import_module(module).run(items)


if __name__ == "__main__":
    main()
