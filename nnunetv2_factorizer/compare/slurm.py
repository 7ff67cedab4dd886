"""Runs as jobs of SLURM, by `submitit`, an optional extra that is imported here alone."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nnunetv2_factorizer.compare.run import Run, logged
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.installation import install_extra

LOGS = "slurm"
POLL_SECONDS = 10


def require_submitit() -> Any:
    """The module.

    Raises:
        UserError: it cannot be imported.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError(
            f"--slurm needs submitit, of the extra slurm, which cannot be imported ({error}).",
            f"Install it: {install_extra('slurm')}. Without --slurm the runs are on this machine.",
        ) from error
    return submitit


def parse_options(text: str) -> dict[str, str | int]:
    """SLURM's options as `sbatch` names them, such as `partition=gpu,time=02:00:00`.

    Raises:
        UserError: something is not `NAME=VALUE`, or there is no time.
    """
    example = "Give options of sbatch, such as --slurm partition=gpu,time=02:00:00,gpus_per_node=1."
    options: dict[str, str | int] = {}
    for part in text.split(","):
        name, sign, value = (word.strip() for word in part.partition("="))
        if not (name and sign and value):
            raise UserError(
                f"--slurm {text!r} has {part!r}, which is not NAME=VALUE.",
                example,
            )
        options[f"slurm_{name.replace('-', '_')}"] = int(value) if value.isdecimal() else value
    time = str(options.get("slurm_time", ""))
    if not re.fullmatch(r"\d+(:\d\d:\d\d)?", time):
        raise UserError(
            f"--slurm {text!r} has no time in minutes or as HH:MM:SS; submitit would end each job after 5 minutes.",
            example,
        )
    if ":" in time:  # submitit counts with minutes
        hours, minutes, _ = map(int, time.split(":"))
        options["slurm_time"] = 60 * hours + minutes
    return options


def run_by_slurm(
    runs: Sequence[Run],
    work: Callable[[Run], None],
    told: Callable[[Run], str],
    options: dict[str, str | int],
    folder: Path,
    *,
    show_progress: bool,
    cluster: str = "slurm",
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """One job a run, and waits for all of them; after Ctrl-C the jobs are cancelled.

    Args:
        runs: to be started. Their folder and nnU-Net's are seen by all machines.
        work: that a job does.
        told: what to print of a run that has ended.
        options: as `parse_options` gives them.
        folder: for the logs of the jobs.
        show_progress: with a bar of the runs.
        cluster: of submitit; `local` for a test without SLURM.
        poll_seconds: between two looks at the jobs.

    Raises:
        UserError: submitit or SLURM is not there, or an option is unknown.
    """
    submitit = require_submitit()
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(**options)
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise UserError(
            f"submitit cannot start jobs: {str(error).partition(chr(10))[0]}",
            "Start the command where sbatch works, with options that submitit knows, such as --slurm "
            "partition=gpu,time=02:00:00,gpus_per_node=1,cpus_per_task=12.",
        ) from error
    jobs = [executor.submit(logged, work, run) for run in runs]
    run_of = {job.job_id: run for job, run in zip(jobs, runs, strict=True)}
    with tqdm(total=len(runs), unit="run", disable=not show_progress) as bar:
        try:
            for job in submitit.helpers.as_completed(jobs, poll_frequency=poll_seconds):
                bar.update()
                bar.write(told(run_of[job.job_id]))
        except KeyboardInterrupt:
            for job in jobs:
                job.cancel()
            raise
