"""JSON is read as UTF-8 where that is not the system's encoding."""

import os
import subprocess
import sys
from pathlib import Path

CODE = (
    "import locale, sys; from pathlib import Path; from nnunetv2_factorizer.models.json_files import read_json\n"
    "assert 'UTF' not in locale.getpreferredencoding(False).upper(), locale.getpreferredencoding(False)\n"
    "assert read_json(Path(sys.argv[1])) == {'labels': {'\\u00f6dem': 1}}\n"
)


def test_names_of_labels_may_have_umlauts(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_bytes('{"labels": {"\u00f6dem": 1}}'.encode())
    environment = os.environ | {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", CODE, str(path)], env=environment, check=True)
