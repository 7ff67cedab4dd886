"""The printed line, run by the shell it is for."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nnunetv2_factorizer.cli.env import line
from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder

ECHO = {"bash": f'echo "${VARIABLE}"', "fish": f'echo "${VARIABLE}"', "powershell": f"$env:{VARIABLE}"}
PROGRAM = {"bash": ["bash", "-c"], "fish": ["fish", "-c"], "powershell": ["pwsh", "-NoProfile", "-Command"]}


@pytest.mark.parametrize("before", [None, "/other/folder", "/one:/two"])
@pytest.mark.parametrize("shell", PROGRAM)
def test_puts_the_folder_before_what_is_set(shell: str, before: str | None) -> None:
    if shutil.which(PROGRAM[shell][0]) is None:
        pytest.skip(f"{PROGRAM[shell][0]} is not installed")
    folder = Path("/with space/and 'quote'")
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    if before is not None:
        environment[VARIABLE] = before
    script = f"{line(shell, folder)}\n{ECHO[shell]}"
    output = subprocess.run([*PROGRAM[shell], script], env=environment, check=True, capture_output=True, text=True)
    assert output.stdout.strip() == ":".join(filter(None, [str(folder), before]))


def test_every_shell_has_a_line_of_its_own() -> None:
    lines = {line(shell, Path("/folder")) for shell in PROGRAM}
    assert len(lines) == 3
    assert all("/folder" in text and VARIABLE in text and "\n" not in text for text in lines)


def test_the_folder_holds_the_trainers() -> None:
    assert (trainers_folder() / "nnUNetTrainerSwinFactorizer.py").is_file()
