"""Runs as jobs: submitit is replaced by one that starts them here, or is not there."""

import sys
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunetv2_factorizer.compare import report
from nnunetv2_factorizer.compare.run import LOG, Run
from nnunetv2_factorizer.compare.slurm import parse_options, run_by_slurm
from nnunetv2_factorizer.errors import UserError
from tests.compare.runs import run, work


class Executor:
    """Of submitit, as much of it as is used."""

    made: list["Executor"] = []  # noqa: RUF012

    def __init__(self, folder: Path, cluster: str) -> None:
        if cluster == "slurm":
            raise RuntimeError('Could not detect "srun", are you indeed on a slurm cluster?')
        self.folder, self.options = folder, {}
        self.made.append(self)

    def update_parameters(self, **options: Any) -> None:
        if unknown := options.keys() - {"slurm_partition", "slurm_time", "slurm_gpus_per_node"}:
            raise NameError(f"Unknown argument {unknown}")
        self.options = options

    def submit(self, function: Callable[..., None], work: Any, of: Run) -> SimpleNamespace:
        process = get_context("fork").Process(target=function, args=(work, of))
        process.start()
        process.join()
        return SimpleNamespace(job_id=of.network)


@pytest.fixture
def submitit(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_completed(jobs: Sequence[Any], poll_frequency: float) -> Sequence[Any]:
        return jobs[::-1]

    fake = SimpleNamespace(AutoExecutor=Executor, helpers=SimpleNamespace(as_completed=as_completed))
    monkeypatch.setitem(sys.modules, "submitit", fake)


@pytest.mark.usefixtures("submitit")
def test_a_job_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [run(tmp_path, name) for name in ("Hybrid", "Swin")]
    options = parse_options("partition=gpu, time=02:00:00,gpus-per-node=1")
    assert options == {"slurm_partition": "gpu", "slurm_time": 120, "slurm_gpus_per_node": 1}
    run_by_slurm(runs, work, report.told, options, tmp_path / "slurm", show_progress=False, cluster="local")
    assert Executor.made[-1].options == options
    assert [of.state for of in runs] == ["done", "done"]
    assert (runs[0].folder / LOG).read_text() == "at work on Hybrid\n"
    said = capsys.readouterr().out
    assert said.index("done   Swin") < said.index("done   Hybrid")


@pytest.mark.usefixtures("submitit")
def test_no_slurm_and_an_unknown_option(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"cannot start jobs: Could not detect .*\nStart the command where sbatch works"
    ):
        run_by_slurm([], work, report.told, {}, tmp_path, show_progress=False)
    with pytest.raises(UserError, match="cannot start jobs: Unknown argument"):
        run_by_slurm([], work, report.told, {"slurm_x": 1}, tmp_path, show_progress=False, cluster="local")
    for text in ("gpu", "partition=", "time=10,"):
        with pytest.raises(UserError, match="which is not NAME=VALUE"):
            parse_options(text)
    for text in ("partition=gpu", "time=soon"):
        with pytest.raises(UserError, match=r"has no time in minutes .* after 5 minutes"):
            parse_options(text)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"--slurm needs submitit, of the extra slurm.*\nInstall it: ") as caught:
        run_by_slurm([run(tmp_path, "Hybrid")], work, report.told, {}, tmp_path, show_progress=False)
    assert "Without --slurm" in caught.value.remedy
