"""Which nnU-Net is imported, and whether something else stands in its way."""

import json
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlparse

from packaging.utils import canonicalize_name

from nnunetv2_factorizer import DISTRIBUTION
from nnunetv2_factorizer.doctor.finding import Finding

PACKAGES = {"nnunetv2": "nnunetv2", "nnunetv2_factorizer": DISTRIBUTION}
INSTALL = {"nnunetv2": "pip install nnunetv2", DISTRIBUTION: "pip install FOLDER, of your clone of it"}
"""Import name and the distribution that it should come from."""


def examine() -> list[Finding]:
    """A finding a package."""
    return [_origin(package, name) for package, name in PACKAGES.items()]


def _origin(package: str, name: str) -> Finding:
    title = f"import {package}"
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        folders = ", ".join(spec.submodule_search_locations or []) if spec is not None else ""
        where = f"a folder without __init__.py, {folders}" if folders else "nothing"
        return Finding(title, "error", f"finds {where}", f"{INSTALL[name]}; rename such a folder")
    found = Path(spec.origin).resolve()
    others = {canonicalize_name(other) for other in packages_distributions().get(package, [])} - {name}
    if others:
        return Finding(
            title,
            "error",
            f"{', '.join(sorted(others))} brings a package {package}, too; imported is {found}",
            f"Give it an environment of its own: pip uninstall {' '.join(sorted(others))} {name}; {INSTALL[name]}",
        )
    try:
        expected = _installed(distribution(name), package)
    except PackageNotFoundError:
        return Finding(title, "error", f"is {found}, which no installed {name} put there", INSTALL[name])
    if expected is not None and found != expected:
        return Finding(
            title,
            "error",
            f"is {found}, which shadows the installed {expected}",
            "Take its folder out of PYTHONPATH and leave that working folder, or rename it.",
        )
    here = Path.cwd() / package / "__init__.py"
    if here.exists() and here.resolve() != found:
        return Finding(
            title,
            "warning",
            f"is {found}; but `python -m` and scripts in the working folder import {here}",
            "Work in another folder.",
        )
    return Finding(title, "ok", str(found))


def _installed(installed: Distribution, package: str) -> Path | None:
    """The `__init__.py` that the distribution brought; None where an editable install does not say."""
    start = f"{package}/__init__.py"
    for file in installed.files or []:
        if file.as_posix() == start:
            return Path(str(installed.locate_file(file))).resolve()
    url = json.loads(installed.read_text("direct_url.json") or "{}").get("url", "")
    path = Path(unquote(urlparse(url).path)) / start
    return path.resolve() if url.startswith("file:") and path.exists() else None
