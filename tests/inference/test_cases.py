"""Work on many cases: order, memory, and Dask's workers."""

import sys
import time
from collections.abc import Iterator

import pytest
from distributed import LocalCluster

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.inference import cases
from nnunetv2_factorizer.inference.cases import map_cases

RUNNING: list[int] = []


def square(case: int) -> int:
    """The later the case, the sooner it is done."""
    time.sleep(0.02 * (5 - case))
    return case * case


def running_at_once(case: int) -> int:
    """How many cases this process works on."""
    RUNNING.append(case)
    time.sleep(0.02)
    number = len(RUNNING)
    RUNNING.remove(case)
    return number


def fail(case: int) -> None:
    raise UserError(f"case {case}", "Mend it.")


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        yield cluster


@pytest.mark.parametrize("distributed", [False, True])
def test_results_are_in_order(cluster: LocalCluster, distributed: bool) -> None:
    scheduler = cluster.scheduler_address if distributed else None
    results = map_cases(square, range(5), scheduler=scheduler, show_progress=False)
    assert list(results) == [0, 1, 4, 9, 16]
    assert list(map_cases(square, [], scheduler=scheduler, show_progress=False)) == []


def test_a_case_begins_when_it_is_asked_for() -> None:
    begun = []
    results = map_cases(begun.append, range(3), show_progress=False)
    assert begun == []
    next(results)
    assert begun == [0]


def test_a_worker_has_one_case_at_a_time(cluster: LocalCluster) -> None:
    """Workers of this cluster are threads of this process."""
    results = map_cases(running_at_once, range(6), scheduler=cluster.scheduler_address, show_progress=False)
    assert list(results) == [1] * 6


@pytest.mark.parametrize("distributed", [False, True])
def test_errors_arrive(cluster: LocalCluster, distributed: bool) -> None:
    scheduler = cluster.scheduler_address if distributed else None
    with pytest.raises(UserError, match=r"case 0\nMend it\."):
        list(map_cases(fail, range(3), scheduler=scheduler, show_progress=False))


def test_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "PATIENCE", 0.1)
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None) as empty,
        pytest.raises(UserError, match=r"has no workers\.\nStart some with `dask worker inproc"),
    ):
        list(map_cases(square, [1], scheduler=empty.scheduler_address, show_progress=False))


def test_without_dask_or_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9\.\nStart one"):
        list(map_cases(square, [1], scheduler="tcp://127.0.0.1:9", show_progress=False))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"Install it: pip install distributed"):
        list(map_cases(square, [1], scheduler="tcp://127.0.0.1:9", show_progress=False))
