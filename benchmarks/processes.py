"""Trainings of a benchmark, each in a process of its own with a log, several at once."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def run_all(commands: Mapping[Path, Sequence[str]], jobs: int, threads: int = 1) -> None:
    """Runs those whose result is not there yet; exit status 1 where one fails.

    Args:
        commands: by the file of their result, arguments of Python. The log is beside the result.
        jobs: at once.
        threads: of each, on a CPU.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "nnUNet_n_proc_DA": "0"}

    def one(result: Path, arguments: Sequence[str]) -> bool:
        with result.with_suffix(".log").open("a", encoding="utf-8") as log:
            finished = subprocess.run(
                [sys.executable, *arguments], env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        print(f"{'done' if finished.returncode == 0 else f'FAILED, see {log.name}'}: {result.stem}", flush=True)
        return finished.returncode == 0

    with ThreadPoolExecutor(jobs) as pool:
        wanted = [pool.submit(one, *command) for command in commands.items() if not command[0].is_file()]
    if not all(future.result() for future in wanted):
        sys.exit(1)
