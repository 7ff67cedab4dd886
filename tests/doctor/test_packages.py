"""Which nnU-Net is imported, asked in a Python of its own, as a command has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import json
from nnunetv2_factorizer.doctor.packages import examine
print(json.dumps([[finding.status, finding.what, finding.remedy] for finding in examine()]))
"""


def ask(python_path: Path | None, working_folder: Path) -> list[list[str]]:
    environment = os.environ | ({"PYTHONPATH": str(python_path)} if python_path else {})
    # -P: as a command, which does not look into the working folder.
    command = [sys.executable, *(["-P"] if sys.version_info >= (3, 11) else []), "-c", CODE]
    done = subprocess.run(command, env=environment, cwd=working_folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def make_package(folder: Path) -> Path:
    (folder / "nnunetv2").mkdir(parents=True)
    (folder / "nnunetv2" / "__init__.py").touch()
    return folder


def test_a_clean_installation(tmp_path: Path) -> None:
    assert [status for status, _, _ in ask(None, tmp_path)] == ["ok", "ok"]


def test_a_copy_on_the_path_shadows(tmp_path: Path) -> None:
    copy = make_package(tmp_path / "my_clone")
    (status, what, remedy), ours = ask(copy, tmp_path)
    assert status == "error"
    assert str(copy) in what
    assert "shadows the installed" in what
    assert "PYTHONPATH" in remedy
    assert ours[0] == "ok"


def test_another_distribution_with_the_same_package(tmp_path: Path) -> None:
    fork = make_package(tmp_path / "fork")
    info = fork / "some_mamba-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some_mamba\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("nnunetv2\n")
    (status, what, remedy), _ = ask(fork, tmp_path)
    assert status == "error"
    assert "some-mamba brings a package nnunetv2, too" in what
    assert "pip uninstall some-mamba" in remedy


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs python -P")
def test_a_folder_of_that_name_where_one_works(tmp_path: Path) -> None:
    (status, what, _), _ = ask(None, make_package(tmp_path))
    assert status == "warning"
    assert str(tmp_path / "nnunetv2") in what
