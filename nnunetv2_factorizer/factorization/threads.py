"""Work on a CPU that is a long row of small operations."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block, PyTorch uses one thread.

    Where each operation takes microseconds, two threads wait for each other most of the time; on a busy machine,
    forty times as long as the work takes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
