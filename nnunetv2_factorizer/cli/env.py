"""`nnUNetv2_factorizer_env`: the line that tells nnU-Net where the trainers are."""

import argparse
import os
import shlex
from pathlib import Path

from nnunetv2_factorizer.ext_trainer import VARIABLE, trainers_folder

SHELLS = ("bash", "fish", "powershell")


def main() -> None:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        description=f"Print the line that makes nnU-Net find the Factorizer trainers. Put it beside the other nnU-Net "
        f"variables (~/.bashrc, config.fish, $PROFILE). A value that {VARIABLE} has already is kept. "
        'For this terminal alone: eval "$(nnUNetv2_factorizer_env)"'
    )
    parser.add_argument(
        "--shell", choices=SHELLS, default=_current_shell(), help="default: the one in use, here %(default)s"
    )
    print(line(parser.parse_args().shell, trainers_folder()))


def line(shell: str, folder: Path) -> str:
    """The line that puts `folder` before what the variable holds, in the language of `shell` (one of `SHELLS`)."""
    if shell == "fish":
        return f"set -gx {VARIABLE} (string join : {shlex.quote(str(folder))} ${VARIABLE})"
    if shell == "powershell":
        quoted = "'" + str(folder).replace("'", "''") + "'"
        rest = f"@($env:{VARIABLE} | Where-Object {{ $_ }})"
        return f"$env:{VARIABLE} = (@({quoted}) + {rest}) -join [IO.Path]::PathSeparator"
    return f'export {VARIABLE}={shlex.quote(str(folder))}"${{{VARIABLE}:+:${VARIABLE}}}"'


def _current_shell() -> str:
    if os.name == "nt":
        return "powershell"
    return "fish" if Path(os.environ.get("SHELL", "")).name == "fish" else "bash"
