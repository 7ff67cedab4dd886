"""Runs commands in forks of a process that has imported the large libraries already.

    python warm_process.py

Each command of nnU-Net or ours needs PyTorch, scikit-learn and Matplotlib: 8 s of a core before its own first line.
Nothing of nnU-Net or of this project is imported before the fork, since both read environment variables at import.
Standard input has a JSON request a line, standard output the exit status of each.
"""

import gc
import importlib
import json
import os
import runpy
import sys
import warnings
from typing import Any

LIBRARIES = ("torch", "torch._dynamo", "sklearn.metrics", "skimage.measure", "matplotlib.pyplot", "seaborn", "pandas")
"""None of these starts a thread at import, which a fork would not have."""


def next_command() -> str | None:
    """Waits for requests. Gives the program in a fork, and None at the end of the requests."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            become(request)
            return str(request["command"][0])
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


def become(request: dict[str, Any]) -> None:
    """Makes the process what it would be if the program had been started."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(request["stdout"], os.O_WRONLY), 1)
    os.dup2(os.open(request["stderr"], os.O_WRONLY), 2)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["command"]
    sys.path[0] = os.path.dirname(sys.argv[0])
    sys.modules["numpy"].random.seed()  # NumPy's state is the same in all forks


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for library in LIBRARIES:
            importlib.import_module(library)
    gc.freeze()  # else the garbage collector of each fork goes through all of it, and copies its memory
    if program := next_command():
        runpy.run_path(program, run_name="__main__")
