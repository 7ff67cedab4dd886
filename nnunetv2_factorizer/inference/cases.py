"""The seam between work on one case and work on many, by this process or by the workers of Dask."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.installation import install_extra

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 30
"""Seconds until a scheduler must have a worker."""

ONE_AT_A_TIME = threading.Lock()  # in each worker: a model and its hooks are not made for threads


def map_cases(
    work: Callable[[Item], Result],
    cases: Sequence[Item],
    *,
    scheduler: str | None = None,
    show_progress: bool = True,
) -> Iterator[Result]:
    """`work` of each case, in order, one in memory at a time; with nnU-Net's kind of progress bar.

    Args:
        work: can be pickled where there is a scheduler.
        cases: what it is called with.
        scheduler: address of a Dask scheduler such as `tcp://host:8786`, whose workers see the same files; it gets
            no more than two cases a worker ahead of the results that were taken.
        show_progress: whether there is a bar.

    Raises:
        UserError: Dask is not installed, or the scheduler does not answer or has no workers.
    """
    results = map(work, cases) if scheduler is None else _by_workers(work, cases, scheduler)
    yield from tqdm(results, total=len(cases), unit="case", disable=not show_progress)


def _by_workers(work: Callable[[Item], Result], cases: Sequence[Item], scheduler: str) -> Iterator[Result]:
    try:
        from distributed import Client, Future, TimeoutError  # an extra, and it takes a second to import
    except ModuleNotFoundError as error:
        raise UserError(
            "--scheduler needs Dask, which is not installed.", f"Install it: {install_extra('dask')}"
        ) from error
    try:
        client = Client(scheduler, timeout="10s")
    except OSError as error:
        raise UserError(
            f"no Dask scheduler answers at {scheduler}.", "Start one with `dask scheduler`, which prints its address."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise UserError(
                f"the Dask scheduler {scheduler} has no workers.", f"Start some with `dask worker {scheduler}`."
            ) from error
        pending: deque[Future] = deque()
        for case in cases:
            pending.append(client.submit(_alone, work, case, pure=False))
            if len(pending) >= 2 * max(1, len(client.scheduler_info()["workers"])):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _alone(work: Callable[[Item], Result], case: Item) -> Result:
    with ONE_AT_A_TIME:
        return work(case)
