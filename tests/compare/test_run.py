"""A run that fails says why, and leaves the others alone."""

from pathlib import Path

import pytest
import torch
from filelock import FileLock

from nnunetv2_factorizer.compare import report
from nnunetv2_factorizer.compare import run as module
from nnunetv2_factorizer.compare.local import run_locally
from nnunetv2_factorizer.compare.run import LOG, run_one
from nnunetv2_factorizer.errors import UserError
from tests.compare.runs import result, run, work, write


def of_the_guard() -> UserError:
    """As `training.remedies.explain_out_of_memory` raises it."""
    try:
        raise UserError("Tried to allocate 9 GiB: epoch 0.", "Lower batch_size.") from torch.OutOfMemoryError()
    except UserError as error:
        return error


@pytest.mark.parametrize(
    ("error", "cause", "remedy"),
    [
        (UserError("3D only.", "Give another -c."), "3D only.", "Give another -c."),
        (ValueError("bad shape\nmore"), "ValueError: bad shape", "leave Hybrid out"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "Hybrid needs more memory than there is", "--memory GB"),
        (of_the_guard(), "Hybrid needs more memory than there is: Tried to allocate 9 GiB", "--memory GB"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "Hybrid needs more memory", "(-p)"),
    ],
)
def test_the_cause_is_kept(
    error: Exception, cause: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(module, "_train", fail)
    failed = run(tmp_path, "Hybrid")
    run_one(failed)
    assert failed.failure is not None
    assert cause in failed.failure["cause"]
    assert remedy in failed.failure["remedy"]
    assert failed.state == "again"
    monkeypatch.setattr(module, "_train", lambda of: result("Hybrid", 0, {"a": 0.5}))
    run_one(failed)
    assert (failed.state, failed.failure) == ("done", None)


def test_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_train", lambda of: pytest.fail("was run"))
    locked = run(tmp_path, "Hybrid")
    locked.folder.mkdir(parents=True)
    with FileLock(locked.folder / "running.lock"):
        run_one(locked)
    assert locked.result is locked.failure is None
    assert "another process is at it" in report.told(locked)


def test_a_killed_run_does_not_stop_the_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs = [run(tmp_path, name) for name in ("first", "killed", "last")]
    run_locally(runs, work, report.told, jobs=2, show_progress=False)
    assert [of.result is not None for of in runs] == [True, False, True]
    said = capfd.readouterr().out
    assert "done   first, fold 0" in said
    assert "FAILED killed, fold 0: it has not ended" in said
    assert "at work" not in said
    assert (runs[2].folder / LOG).read_text() == "at work on last\n"


def test_what_is_done_is_not_repeated(tmp_path: Path) -> None:
    done = run(tmp_path, "Hybrid")
    write(done, result("Hybrid", 0, {"a": 0.5}))
    assert done.state == "done"
    other = run(tmp_path, "Hybrid", fold=1)
    assert other.state == "new"
    other.folder.mkdir()
    (other.folder / "checkpoint_latest.pth").touch()
    assert other.state == "goes on"
