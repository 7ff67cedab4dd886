"""One run: a network trained and validated on a fold, in a process of its own, and the file that says so."""

import json
import os
import platform
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch.backends import cudnn

from nnunetv2_factorizer.compare.budget import Schedule, parse_budget, schedule_of
from nnunetv2_factorizer.compare.cost import Cost, measure
from nnunetv2_factorizer.compare.networks import network_of
from nnunetv2_factorizer.compare.planning import plans_for
from nnunetv2_factorizer.compare.scores import scores_of
from nnunetv2_factorizer.compare.trainer import make_trainer
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.models.atomic import replacing
from nnunetv2_factorizer.models.folders import nnunet_folder
from nnunetv2_factorizer.models.json_files import read_json

RESULT, FAILURE, SCHEDULE, LOG = "result.json", "failure.json", "schedule.json", "log.txt"
RUNS = "runs"
BEFORE_TRAINING = Schedule(epochs=1, iterations=1)
"""Of the trainer by which the cost is measured."""


@dataclass(frozen=True)
class Run:
    """A network on a fold; what the command line says of it."""

    out: Path
    network: str
    fold: int
    dataset: str
    configuration: str
    plans: str
    budget: str
    memory: float | None
    device: str
    threads: int
    """Of PyTorch."""

    @property
    def model(self) -> Path:
        """The folder of the model, as nnU-Net keeps one."""
        return self.out / RUNS / self.network

    @property
    def folder(self) -> Path:
        """Of the fold."""
        return self.model / f"fold_{self.fold}"

    @property
    def result(self) -> dict[str, Any] | None:
        """What there is to say of it; None where it has not ended."""
        return _read(self.folder / RESULT)

    @property
    def failure(self) -> dict[str, str] | None:
        """`cause` and `remedy`, where it could not run."""
        return _read(self.folder / FAILURE)

    @property
    def state(self) -> str:
        """In a word or two, for the list of runs."""
        if (self.folder / RESULT).is_file():
            return "done"
        if any((self.folder / f"checkpoint_{name}.pth").is_file() for name in ("final", "latest")):
            return "goes on"
        return "again" if (self.folder / FAILURE).is_file() else "new"


def run_one(run: Run) -> None:
    """Trains and validates, from where the folder is; leaves a result or a failure, whatever happens to the rest."""
    run.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run.folder / "running.lock", timeout=0):
            (run.folder / FAILURE).unlink(missing_ok=True)
            _write(run.folder / RESULT, _train(run))
    except Timeout:
        print(f"Another process is at {run.folder}.")
    except Exception as error:
        traceback.print_exc()
        explanation = explained(error, run)
        _write(run.folder / FAILURE, {"cause": explanation.cause, "remedy": explanation.remedy})


def logged(work: Callable[[Run], None], run: Run) -> None:
    """The work on a run, all that is printed going into the log in its folder; in a process of its own."""
    run.folder.mkdir(parents=True, exist_ok=True)
    log = os.open(run.folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):  # of the process, since nnU-Net starts others
        os.dup2(log, stream)
    work(run)


def explained(error: Exception, run: Run) -> UserError:
    """The error with what to do about it."""
    if is_out_of_memory(error) or is_out_of_memory(error.__cause__):
        cause = error.cause if isinstance(error, UserError) else str(error).partition("\n")[0]
        return UserError(
            f"{run.network} needs more memory than there is: {cause}",
            "Compare on plans of a smaller patch or batch (-p), or plan each network for this GPU (--memory GB); both "
            f"with another -o. Or leave {run.network} out.",
        )
    if isinstance(error, UserError):
        return error
    return UserError(
        f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
        f"Where it comes from is at the end of {run.folder / LOG}; or leave {run.network} out.",
    )


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory was lacking, on a GPU or beside it (PyTorch has no type for the second)."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def _train(run: Run) -> dict[str, Any]:
    torch.set_num_threads(run.threads)
    cudnn.benchmark = torch.cuda.is_available()  # as nnU-Net's command
    network, base = network_of(run.network), nnunet_folder("nnUNet_preprocessed") / run.dataset
    given = read_json(base / f"{run.plans}.json")
    plans = plans_for(network, given, run.configuration, run.memory)
    rest = (plans, run.configuration, run.fold, read_json(base / "dataset.json"), torch.device(run.device))
    file = run.folder / SCHEDULE
    if not file.is_file():
        with TemporaryDirectory() as folder:
            cost = measure(make_trainer(network.trainer_class, Path(folder), BEFORE_TRAINING, *rest))
        schedule = schedule_of(parse_budget(run.budget), cost.iteration, cost.validation)
        _write(file, {"cost": asdict(cost), "schedule": asdict(schedule)})
    known = read_json(file)  # a training that goes on has the length that it began with
    cost, schedule = Cost(**known["cost"]), Schedule(**known["schedule"])
    trainer = make_trainer(network.trainer_class, run.model, schedule, *rest)
    _go_on(trainer, run.folder)
    trainer.perform_actual_validation()
    return {
        "network": run.network,
        "trainer": network.trainer,
        "fold": run.fold,
        "patch_size": list(trainer.configuration_manager.patch_size),
        "batch_size": trainer.batch_size,
        **asdict(cost),
        "iterations": schedule.epochs * schedule.iterations,
        "curve": trainer.curve,
        "cases": scores_of(trainer),
        "machine": _machine(run),
    }


def _go_on(trainer: Any, folder: Path) -> None:
    """Trains to the end, unless only the validation is missing."""
    final, latest = folder / "checkpoint_final.pth", folder / "checkpoint_latest.pth"
    if final.is_file():
        trainer.load_checkpoint(str(final))
        return
    if latest.is_file():
        trainer.load_checkpoint(str(latest))
    trainer.run_training()


def _machine(run: Run) -> str:
    name = torch.cuda.get_device_name() if run.device == "cuda" else platform.processor() or platform.machine()
    return f"{name}, {run.threads} CPU threads, PyTorch {torch.__version__}"


def _write(path: Path, content: Any) -> None:
    with replacing(str(path)) as unfinished:
        Path(unfinished).write_text(json.dumps(content, indent=1), encoding="utf-8")


def _read(path: Path) -> Any:
    return read_json(path) if path.is_file() else None
