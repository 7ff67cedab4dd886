"""Runs sections one after the other, each in processes of its own, until the time is over.

A process that hangs is ended when its section's time is over. One that dies leaves an error at the item it was at, and
another one goes on behind that. What was compiled in former runs is not used: the time to compile is measured.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu.items import BEGUN, ERROR_LENGTH
from benchmarks.gpu.lines import END, append, drop_errors, keys, read

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Section:
    """How a section is run."""

    weight: float
    """Its share of the time that is left is this over the sum of those from here on."""
    processes: int = 1
    """That share its items: more than one where time is spent in a compiler, and is not what is measured."""


class _Process(NamedTuple):
    popen: subprocess.Popen[bytes]
    log: Path
    """What it prints, errors included."""


def run(file: Path, sections: Mapping[str, Section], seconds: float) -> None:
    """Measures what `file` does not hold yet.

    Args:
        file: for the lines; those with an error are dropped first.
        sections: by the module that they are in, in this order.
        seconds: for all of them together.
    """
    deadline = time.monotonic() + seconds
    drop_errors(file)
    wanted = {module: section for module, section in sections.items() if END not in keys(file, _name(module))}
    weights = [section.weight for section in wanted.values()]
    with tempfile.TemporaryDirectory() as folder:
        for number, (module, section) in enumerate(wanted.items()):
            share = (deadline - time.monotonic()) * section.weight / sum(weights[number:])
            _run_section(file, module, section.processes, share, Path(folder))


def _run_section(file: Path, module: str, parts: int, seconds: float, folder: Path) -> None:
    begin = time.monotonic()

    def start(part: int) -> _Process:
        left = begin + seconds - time.monotonic()
        return _start([module, str(file), str(left), str(part), str(parts)], folder)

    running = {part: start(part) for part in range(parts)}
    complete = True
    try:
        while running:
            time.sleep(POLL_SECONDS)
            over = time.monotonic() - begin > seconds
            for part, process in list(running.items()):
                code = process.popen.poll()
                if code is None and not over:
                    continue
                _end(running.pop(part))
                if code == 0:
                    continue
                if _note_failure(file, module, part, code, process) and not over:
                    running[part] = start(part)
                else:
                    complete = False
    finally:  # also where the user has had enough
        for process in running.values():
            _end(process)
    taken = round(time.monotonic() - begin, 1)
    if complete:
        append(file, {"section": _name(module), "key": END, "seconds": taken})
    lines = [line for line in read(file) if line["section"] == _name(module) and line["key"] != END]
    errors = sum("error" in line for line in lines)
    print(f"{_name(module)}: {len(lines)} items, {errors} of them errors, {taken:.0f} s", flush=True)


def _note_failure(file: Path, module: str, part: int, code: int | None, process: _Process) -> bool:
    """Writes the error of a process that had to be ended, code None, or that died; whether one can go on behind it."""
    output = process.log.read_text(encoding="utf-8", errors="replace")
    begun = [line.removeprefix(BEGUN) for line in output.splitlines() if line.startswith(BEGUN)]
    measured = bool(begun) and begun[-1] in keys(file, _name(module))
    if code is None:
        what = "was not done when the time of the section was over"
    else:
        what = f"the process ended with code {code}: {output[-ERROR_LENGTH:]}"
    if code is None or not measured:
        key = begun[-1] if begun and not measured else f"process {part}"
        append(file, {"section": _name(module), "key": key, "error": what})
    return code is not None and bool(begun)


def _start(arguments: list[str], folder: Path) -> _Process:
    """A process whose log and caches are in `folder`."""
    command = [sys.executable, "-m", "benchmarks.gpu.section", *arguments]
    caches = {"TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor", "TRITON_CACHE_DIR": f"{folder}/triton"}
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as log:
        popen = subprocess.Popen(
            command, env=os.environ | caches, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    return _Process(popen, Path(log.name))


def _end(process: _Process) -> None:
    """Those that it has started end with it."""
    with suppress(ProcessLookupError):  # they may all be gone
        os.killpg(process.popen.pid, signal.SIGKILL)
    process.popen.wait()


def _name(module: str) -> str:
    return module.rpartition(".")[2]
