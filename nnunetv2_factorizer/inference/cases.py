"""The seam between work on one case and work on many."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

Case = TypeVar("Case")
Result = TypeVar("Result")


def map_cases(work: Callable[[Case], Result], cases: Sequence[Case], *, show_progress: bool = True) -> Iterator[Result]:
    """`work` of each case, in order, one in memory at a time; with nnU-Net's kind of progress bar."""
    for case in tqdm(cases, unit="case", disable=not show_progress):
        yield work(case)
