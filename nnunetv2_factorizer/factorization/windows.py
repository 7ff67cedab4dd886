"""Which voxels of a volume are which columns of which window, without rolling or padding the volume.

Along one axis a grid of windows is a list of `Run`s: consecutive voxels that go to consecutive places of
consecutive windows. Windows of the shifted grid begin half a window before the volume and wrap around its (padded)
end; places beyond the volume are in no run and stay zero.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import ceil, prod

from torch import Tensor


@dataclass(frozen=True)
class Run:
    """Voxels `start, start + 1, ...` are the places `offset .. offset + length` of `count` windows from `first` on."""

    first: int
    count: int
    offset: int
    length: int
    start: int

    @property
    def in_windows(self) -> slice:
        return slice(self.first, self.first + self.count)

    @property
    def in_window(self) -> slice:
        return slice(self.offset, self.offset + self.length)

    @property
    def in_volume(self) -> slice:
        return slice(self.start, self.start + self.count * self.length)


@cache
def axis_runs(size: int, window: int, shift: int) -> tuple[Run, ...]:
    """The runs of an axis of `size` voxels; window `i` begins at voxel `i * window - shift`, modulo whole windows."""
    number = ceil(size / window)
    runs: list[Run] = []
    for index in range(number):
        for place in range(window):
            voxel = (index * window + place - shift) % (number * window)
            if voxel >= size:
                continue
            last = runs[-1] if runs else None
            if last and last.first == index and last.start + last.length == voxel:
                runs[-1] = Run(index, 1, last.offset, last.length + 1, last.start)
            else:
                runs.append(Run(index, 1, place, 1, voxel))
    return tuple(_merge_whole_windows(runs, window))


def _merge_whole_windows(runs: list[Run], window: int) -> Iterator[Run]:
    pending: Run | None = None
    for run in runs:
        follows = pending is not None and pending.in_volume.stop == run.start
        if pending is not None and follows and pending.length == run.length == window:
            pending = Run(pending.first, pending.count + 1, 0, window, pending.start)
            continue
        if pending is not None:
            yield pending
        pending = run
    if pending is not None:
        yield pending


@cache
def select(runs: tuple[Run, ...], first: int, stop: int) -> tuple[Run, ...]:
    """The part of the runs that lies in the windows `first .. stop`, which are counted from 0 again."""
    selected = []
    for run in runs:
        begin, end = max(run.first, first), min(run.first + run.count, stop)
        if begin < end:
            start = run.start + (begin - run.first) * run.length
            selected.append(Run(begin - first, end - begin, run.offset, run.length, start))
    return tuple(selected)


@dataclass(frozen=True)
class WindowChunk:
    """Some windows of one image of the batch, and the pieces of the volume that they consist of."""

    item: int
    shifted: bool
    grid: tuple[int, ...]
    """How many there are along each axis."""
    pieces: tuple[tuple[Run, ...], ...]
    """One run an axis for each piece."""
    complete: bool
    """Whether every place of every window is a voxel, none is padding."""

    def __len__(self) -> int:
        return prod(self.grid)

    def views(self, volume: Tensor, matrices: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The same voxels in `volume` `(B, *S, ...)` and in `matrices` `(windows, *P, ...)`, as views of one shape."""
        num_axes = len(self.grid)
        matrices = matrices.unflatten(0, self.grid)
        channels = volume.shape[1 + num_axes :]
        # From (count, length) of each axis to all counts, then all lengths.
        order = [*range(0, 2 * num_axes, 2), *range(1, 2 * num_axes, 2)]
        order += range(2 * num_axes, 2 * num_axes + len(channels))
        for piece in self.pieces:
            voxels = volume[self.item][tuple(run.in_volume for run in piece)]
            lengths = [number for run in piece for number in (run.count, run.length)]
            places = (*(run.in_windows for run in piece), *(run.in_window for run in piece))
            yield voxels.view(*lengths, *channels).permute(order), matrices[places]


def window_chunks(
    shape: Sequence[int], window: Sequence[int], shifted: bool, max_windows: int
) -> Iterator[WindowChunk]:
    """All windows of one grid, in chunks of about `max_windows`: a row of windows along the last axis at least.

    Args:
        shape: of the volume without its channels, `(B, *S)`.
        window: P, voxels a side for each axis.
        shifted: whether the grid is moved by `P // 2`.
        max_windows: more than these only where a single row has more.
    """
    batch, *size = shape
    grid = [ceil(s / p) for s, p in zip(size, window, strict=True)]
    runs = [axis_runs(s, p, shifted * (p // 2)) for s, p in zip(size, window, strict=True)]
    step = list(grid)
    for axis in range(len(grid) - 1):
        step[axis] = min(grid[axis], max(1, max_windows // prod(grid[axis + 1 :])))
    for item in range(batch):
        for corner in product(*(range(0, n, s) for n, s in zip(grid, step, strict=True))):
            ends = [min(c + s, n) for c, s, n in zip(corner, step, grid, strict=True)]
            selected = [select(r, c, e) for r, c, e in zip(runs, corner, ends, strict=True)]
            part = tuple(e - c for c, e in zip(corner, ends, strict=True))
            voxels = prod(sum(run.count * run.length for run in axis) for axis in selected)
            complete = voxels == prod(part) * prod(window)
            yield WindowChunk(item, shifted, part, tuple(product(*selected)), complete)
