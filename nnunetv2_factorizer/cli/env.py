"""`nnUNetv2_factorizer_env`: the line that tells nnU-Net where the trainers are."""

import argparse
import os
import shlex
from importlib.util import find_spec
from pathlib import Path

VARIABLE = "nnUNet_extTrainer"
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


def trainers_folder() -> Path:
    """Where the trainers of this package are installed."""
    spec = find_spec("nnunetv2_factorizer.trainers")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def line(shell: str, folder: Path) -> str:
    """The line that puts `folder` before what the variable holds, in the language of `shell` (one of `SHELLS`)."""
    quoted = shlex.quote(str(folder))
    if shell == "fish":
        return f"set -gx {VARIABLE} (string join : {quoted} ${VARIABLE})"
    if shell == "powershell":
        quoted = "'" + str(folder).replace("'", "''") + "'"
        rest = f"@($env:{VARIABLE} | Where-Object {{ $_ }})"
        return f"$env:{VARIABLE} = (@({quoted}) + {rest}) -join [IO.Path]::PathSeparator"
    return f'export {VARIABLE}={quoted}"${{{VARIABLE}:+:${VARIABLE}}}"'


def _current_shell() -> str:
    if os.name == "nt":
        return "powershell"
    return "fish" if Path(os.environ.get("SHELL", "")).name == "fish" else "bash"
