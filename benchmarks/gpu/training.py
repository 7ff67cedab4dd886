"""A training of nnU-Net's at the batch it plans: seconds an iteration, and Dice. It needs nnU-Net.

On the hippocampus data where nnU-Net's environment variables are set and Dataset004 is there, else on the phantom of
the demonstration, in folders that are deleted. A short training comes first: it says for how many iterations of the
long one there is time.
"""

import os
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu.items import Items
from benchmarks.gpu.setting import GPU

RAW, PREPROCESSED, RESULTS = "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"
METHOD = "Hybrid + Muon"
SHORT, LONG = (100, 1000) if GPU else (50, 100)
RESERVE = 1.5
"""The long training may take so many times what the short one's iterations say, beside its preparation."""


def run(items: Items) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = _folders(Path(folder))
        items.measure("short", partial(training, data, SHORT))
        items.measure("long", partial(longest, data, items))


def training(data: str, iterations: int) -> dict[str, Any]:
    """One training. Seconds an iteration are those of its last epoch of 50: nothing is compiled there."""
    from benchmarks.learning.data import DATA
    from benchmarks.learning.training import train

    DATA[data] = replace(DATA[data], batch_size=None)
    start = time.monotonic()
    result = train(METHOD, data, fold=0, iterations=iterations, seed=0)
    seconds = [0.0, *(point["seconds"] for point in result["curve"])]
    return {
        **{"method": METHOD, "data": data, "iterations": iterations, "batch_size": result["batch_size"]},
        "seconds_per_iteration": (seconds[-1] - seconds[-2]) / 50,
        "seconds": round(time.monotonic() - start, 1),
        "dice": result["dice"],
        "curve": result["curve"],
    }


def longest(data: str, items: Items) -> dict[str, Any]:
    """As many iterations as there is time for, `LONG` at most."""
    short = items.line("short")
    fixed = short["seconds"] - SHORT * short["seconds_per_iteration"]  # planning, compiling, the validation
    possible = (items.seconds_left - fixed) / (RESERVE * short["seconds_per_iteration"])
    iterations = min(LONG, int(possible) // 50 * 50)
    if iterations <= SHORT:
        raise TimeoutError(f"{items.seconds_left:.0f} s are left, enough for no more than the short training")
    return training(data, iterations)


def _folders(temporary: Path) -> str:
    """Sets nnU-Net's variables, before it is imported; which data there are."""
    real = RAW in os.environ and PREPROCESSED in os.environ and any(Path(os.environ[RAW]).glob("Dataset004_*"))
    if not real:
        os.environ.update({variable: str(temporary / variable) for variable in (RAW, PREPROCESSED)})
    os.environ[RESULTS] = str(temporary / RESULTS)  # or a former training would be gone on with
    for variable in (RAW, PREPROCESSED, RESULTS):
        Path(os.environ[variable]).mkdir(parents=True, exist_ok=True)
    return "hippocampus" if real else "phantom"
