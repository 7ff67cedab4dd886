"""The Factorizer as a plugin for nnU-Net v2."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

DISTRIBUTION = "nnunetv2-factorizer"
"""The name under which it is installed."""

CLONE = Path(__file__).parents[1]
"""Where `trainers` and `plans` lie beside this package; an installation has put them into it."""


class _BesideThePackage(MetaPathFinder):
    """Python started in a clone imports the clone, also where another copy is installed: it finds all of it here."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        folder = CLONE / name
        if package != __name__ or name not in ("trainers", "plans") or not folder.is_dir():
            return None
        return spec_from_file_location(fullname, folder / "__init__.py", submodule_search_locations=[str(folder)])


if not (Path(__file__).parent / "trainers").is_dir():
    sys.meta_path.insert(0, _BesideThePackage())
