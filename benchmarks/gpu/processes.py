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
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.gpu.items import BEGUN, ERROR_LENGTH
from benchmarks.gpu.lines import END, append, drop_errors, keys, read


@dataclass(frozen=True)
class Section:
    """How a section is run."""

    weight: float
    """Its share of the time that is left is this over the sum of those from here on."""
    processes: int = 1
    """That share its items: more than one where time is spent in a compiler, and is not what is measured."""


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
    with tempfile.TemporaryDirectory() as caches:
        environment = os.environ | {
            "TORCHINDUCTOR_CACHE_DIR": f"{caches}/inductor",
            "TRITON_CACHE_DIR": f"{caches}/triton",
        }
        weights = [section.weight for section in wanted.values()]
        for number, (module, section) in enumerate(wanted.items()):
            share = (deadline - time.monotonic()) * section.weight / sum(weights[number:])
            _run_section(file, module, section.processes, share, environment)


def _run_section(file: Path, module: str, processes: int, seconds: float, environment: Mapping[str, str]) -> None:
    start = time.monotonic()
    part = partial(_run_part, file, module, processes, start + seconds, environment)
    with ThreadPoolExecutor(processes) as pool:
        complete = all(list(pool.map(part, range(processes))))
    taken = round(time.monotonic() - start, 1)
    if complete:
        append(file, {"section": _name(module), "key": END, "seconds": taken})
    lines = [line for line in read(file) if line["section"] == _name(module) and line["key"] != END]
    errors = sum("error" in line for line in lines)
    print(f"{_name(module)}: {len(lines)} items, {errors} of them errors, {taken:.0f} s", flush=True)


def _run_part(file: Path, module: str, parts: int, deadline: float, environment: Mapping[str, str], part: int) -> bool:
    """Starts processes until one comes to the end of its items; False where none does."""
    while True:
        seconds = deadline - time.monotonic()
        arguments = [module, str(file), str(seconds), str(part), str(parts)]
        code, output = _run_process([sys.executable, "-m", "benchmarks.gpu.section", *arguments], seconds, environment)
        if code == 0:
            return True
        begun = [line.removeprefix(BEGUN) for line in output.splitlines() if line.startswith(BEGUN)]
        measured = bool(begun) and begun[-1] in keys(file, _name(module))
        if code is None:
            what = f"was not done when the time of the section was over, after {max(0, seconds):.0f} s"
        else:
            what = f"the process ended with code {code}: {output[-ERROR_LENGTH:]}"
        if code is None or not measured:
            key = begun[-1] if begun and not measured else f"process {part}"
            append(file, {"section": _name(module), "key": key, "error": what})
        if code is None or not begun:
            return False


def _run_process(command: list[str], seconds: float, environment: Mapping[str, str]) -> tuple[int | None, str]:
    """Its code, None where it had to be ended, and what it printed. Those that it has started are ended with it."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code: int | None = process.wait(timeout=max(0, seconds))
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
        output.seek(0)
        return code, output.read().decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # they may all be gone
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _name(module: str) -> str:
    return module.rpartition(".")[2]
