"""A training of the learning benchmark, whole: killed, started twice, resumed."""

import json
import subprocess
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.learning.__main__ import result_file
from tests.end_to_end.workspace import Workspace

METHOD, BUDGET = "Hybrid + Muon", ("small", 0, 4, 0)
SCRIPT = f"""
import os
from pathlib import Path
from benchmarks.learning import data, training
from benchmarks.learning.__main__ import run_one

data.DATA["small"] = data.Data(998, "2d", 2)
training.ITERATIONS_PER_EPOCH = 2
training.Measured.num_iterations_per_epoch = training.Measured.num_val_iterations_per_epoch = 2
end_epoch = training.Measured.on_epoch_end

def on_epoch_end(self):
    end_epoch(self)
    if "KILL" in os.environ:
        os._exit(3)

training.Measured.on_epoch_end = on_epoch_end
run_one(Path(os.environ["OUT"]), {METHOD!r}, {BUDGET!r})
"""


def learn(workspace: Workspace, **environment: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    out = workspace.folder / workspace.results.parent.name / "learning"
    out.mkdir(parents=True, exist_ok=True)
    return workspace.run(
        "python", "-c", SCRIPT, check=False, PYTHONPATH=root, OUT=str(out), nnUNet_n_proc_DA="0", **environment
    )


def result(workspace: Workspace) -> dict[str, Any]:
    return json.loads(result_file(workspace.results.parent / "learning", METHOD, BUDGET).read_text())


def test_a_killed_training_goes_on_once_and_ends_like_an_uninterrupted_one(phantom: Workspace) -> None:
    through, resumed = phantom.with_results("results_learning"), phantom.with_results("results_learning_resumed")
    done = learn(through)
    assert done.returncode == 0, done.stderr[-4000:]
    killed = learn(resumed, KILL="1")
    assert killed.returncode == 3, killed.stderr[-4000:]
    (lock,) = resumed.results.rglob("training.lock")
    with FileLock(lock):
        refused = learn(resumed)
    assert f"The file lock '{lock}' could not be acquired" in refused.stderr
    done = learn(resumed)
    assert done.returncode == 0, done.stderr[-4000:]
    expected, actual = result(through), result(resumed)
    assert [point["iteration"] for point in actual["curve"]] == [2, 4]
    assert all(later["seconds"] > earlier["seconds"] for earlier, later in [actual["curve"]])
    for run in (expected, actual):
        for point in run["curve"]:
            del point["seconds"]
    assert actual == expected
    assert len(actual["dice_of_cases"]) == 2
    assert (actual["batch_size"], actual["fold"]) == (2, 0)
