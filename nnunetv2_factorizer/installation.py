"""How this package was installed, and so how it can be installed elsewhere.

Its name is never told to pip: somebody else could register it.
"""

import json
import re
import shlex
from importlib.metadata import distribution, requires
from pathlib import Path

from nnunetv2_factorizer import DISTRIBUTION


def installed_from() -> str:
    """Version and origin, such as `nnunetv2-factorizer 0.1.0 from file:///somewhere/nnunetv2_factorizer`."""
    installed = distribution(DISTRIBUTION)
    return f"{DISTRIBUTION} {installed.version} from {_origin() or 'an unknown place'}"


def released_from() -> str:
    """Version, and the address of the repository where pip got it from one; for files that are given to strangers."""
    return installed_from() if "+" in _origin() else f"{DISTRIBUTION} {distribution(DISTRIBUTION).version}"


def install_command() -> str:
    """A command that installs the same on this machine; on another one, the folder is a clone of it there."""
    origin = _origin()
    return f"pip install {shlex.quote(origin)}" if origin else f"install what this is: {installed_from()}"


def install_extra(extra: str) -> str:
    """A command that installs what an extra of this package asks for, such as `pip install distributed`."""
    wanted = [r for r in requires(DISTRIBUTION) or [] if re.search(rf"extra == ['\"]{extra}['\"]", r)]
    return shlex.join(["pip", "install", *(requirement.partition(";")[0].strip() for requirement in wanted)])


def _origin() -> str:
    """What pip was given: an address, with the commit where there is one; or the clone that this is; or empty."""
    record = json.loads(distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")  # PEP 610
    if version_control := record.get("vcs_info"):
        return f"{version_control['vcs']}+{record['url']}@{version_control['commit_id']}"
    clone = Path(__file__).parents[1]
    return record.get("url", "") or (str(clone) if (clone / "pyproject.toml").is_file() else "")
