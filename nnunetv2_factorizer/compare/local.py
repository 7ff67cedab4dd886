"""Runs on this machine, each in a process of its own, so that one that is killed leaves the others alone."""

import sys
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import Any

from tqdm import tqdm

from nnunetv2_factorizer.compare.run import Run, logged

Work = Callable[[Run], None]
Told = Callable[[Run], str]


def run_locally(runs: Sequence[Run], work: Work, told: Told, jobs: int, *, show_progress: bool) -> None:
    """Runs all of them, `jobs` at a time; what they print goes into a file in the folder of each.

    Args:
        runs: to be started, in this order.
        work: that a process does.
        told: what to print of a run that has ended.
        jobs: processes at a time.
        show_progress: with a bar of the runs.
    """
    # A fork need not import PyTorch again, and CUDA does not work in one.
    forks = sys.platform == "linux" and all(run.device == "cpu" for run in runs)
    context: Any = get_context("fork" if forks else "spawn")
    waiting = deque(runs)
    running: dict[Any, tuple[Any, Run]] = {}  # by what `wait` waits for
    with tqdm(total=len(runs), unit="run", disable=not show_progress) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    run = waiting.popleft()
                    sys.stdout.flush()  # or a fork would print it, too
                    process = context.Process(target=logged, args=(work, run))
                    process.start()
                    running[process.sentinel] = process, run
                for sentinel in wait(list(running)):
                    process, run = running.pop(sentinel)
                    process.join()
                    bar.update()
                    bar.write(told(run))
        finally:
            for process, _ in running.values():  # after Ctrl-C
                process.terminate()
                process.join()
