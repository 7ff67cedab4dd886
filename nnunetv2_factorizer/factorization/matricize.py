"""Between an image tensor `(B, C, *S)` and the batch of matrices that is factorized.

One matrix has `E` rows, the channels of one head, and one column a voxel of one window. All windows and heads are
leading dimensions, so that a matrix layer such as `NMF` treats them alike. Every class has the same four methods:

- `forward(x)`: the image as matrices `(..., E, N)`.
- `inverse(matrices, size)`: the image of spatial size `size` again; `inverse(forward(x), x.shape[2:])` is `x`.
- `window_at(size)`: the window for an image of that size, in voxels.
- `fit(v0, size)`: initial column factors `(prod(window), R)` made to fit the matrices of an image of that size.

Windows that overhang the image are padded with zeros: a zero column changes neither the factors nor the rest of the
product. Where an axis is shorter than the window, the window shrinks to it.
"""

from collections.abc import Sequence
from math import ceil

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional


class GlobalMatricize(nn.Module):
    """One matrix a head over the whole image: `(B, C, *S)` <-> `(B, C / E, E, prod(S))`.

    Args:
        head_dim: E, channels of one head.
        size: the spatial size that initial factors are made for, such as the training patch at this stage.
    """

    shifted = False
    """Whether there is a second grid of windows."""

    def __init__(self, head_dim: int, size: Sequence[int]) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.window = tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        check_channels(x, self.head_dim)
        return rearrange(x.flatten(2), "b (h e) n -> b h n e", e=self.head_dim).mT

    def inverse(self, matrices: Tensor, size: Sequence[int]) -> Tensor:
        return rearrange(matrices.mT, "b h n e -> b (h e) n").unflatten(2, tuple(size))

    def window_at(self, size: Sequence[int]) -> tuple[int, ...]:
        """The image."""
        return tuple(size)

    def fit(self, v0: Tensor, size: Sequence[int]) -> Tensor:
        """Interpolates the factors as an image, since at inference a size other than the patch may come."""
        if tuple(size) == self.window:
            return v0
        image = v0.mT.unflatten(-1, self.window)
        return resize(image[None], size)[0].flatten(1).mT

    def extra_repr(self) -> str:
        return f"head_dim={self.head_dim}, size={self.window}"


class LocalMatricize(nn.Module):
    """One matrix a head and window: `(B, C, *S)` <-> `(B, windows, C / E, E, prod(P))`.

    Args:
        head_dim: E, channels of one head.
        window: P, voxels a side for each axis.
    """

    shifted = False

    def __init__(self, head_dim: int, window: Sequence[int]) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.window = tuple(window)

    def forward(self, x: Tensor) -> Tensor:
        check_channels(x, self.head_dim)
        window, grid = _grid(tuple(x.shape[2:]), self.window)
        return self._cut(_pad(x, window, grid), window)

    def inverse(self, matrices: Tensor, size: Sequence[int]) -> Tensor:
        window, grid = _grid(tuple(size), self.window)
        return _crop(self._join(matrices, window, grid), size)

    def window_at(self, size: Sequence[int]) -> tuple[int, ...]:
        """The window, shrunk to the image."""
        return _grid(tuple(size), self.window)[0]

    def fit(self, v0: Tensor, size: Sequence[int]) -> Tensor:
        """Keeps the rows of the voxels that a shrunken window still has."""
        window = self.window_at(size)
        if window == self.window:
            return v0
        return _crop(v0.mT.unflatten(-1, self.window)[None], window)[0].flatten(1).mT

    def _cut(self, x: Tensor, window: tuple[int, ...]) -> Tensor:
        lengths = {f"p{axis}": p for axis, p in enumerate(window)}
        split, grid, columns = _PATTERNS[len(window)]
        # Channels last: for a volume in that memory format the copy moves runs of E numbers.
        return rearrange(x, f"b (h e) {split} -> b ({grid}) h ({columns}) e", e=self.head_dim, **lengths).mT

    def _join(self, matrices: Tensor, window: tuple[int, ...], grid: tuple[int, ...]) -> Tensor:
        lengths = {f"p{axis}": p for axis, p in enumerate(window)} | {f"n{axis}": n for axis, n in enumerate(grid)}
        split, windows, columns = _PATTERNS[len(window)]
        return rearrange(matrices.mT, f"b ({windows}) h ({columns}) e -> b {split} (h e)", **lengths).movedim(-1, 1)

    def extra_repr(self) -> str:
        return f"head_dim={self.head_dim}, window={self.window}"


class ShiftedWindowMatricize(LocalMatricize):
    """Windows on two grids, the second moved by half a window: `(B, C, *S)` <-> `(2, B, windows, C / E, E, prod(P))`.

    The inverse averages the two images (the paper's Algorithm 3, which rolls back by `-P` where `-(P // 2)` is meant).
    """

    shifted = True

    def forward(self, x: Tensor) -> Tensor:
        check_channels(x, self.head_dim)
        window, grid = _grid(tuple(x.shape[2:]), self.window)
        x = _pad(x, window, grid)
        return torch.stack([self._cut(x, window), self._cut(_roll(x, [p // 2 for p in window]), window)])

    def inverse(self, matrices: Tensor, size: Sequence[int]) -> Tensor:
        window, grid = _grid(tuple(size), self.window)
        regular, shifted = (self._join(m, window, grid) for m in matrices)
        return _crop((regular + _roll(shifted, [-(p // 2) for p in window])) / 2, size)


def resize(image: Tensor, size: Sequence[int]) -> Tensor:
    """Linear interpolation of `(B, C, *S)` to another spatial size."""
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    return functional.interpolate(image, tuple(size), mode=mode)


_PATTERNS = {
    1: ("(n0 p0)", "n0", "p0"),
    2: ("(n0 p0) (n1 p1)", "n0 n1", "p0 p1"),
    3: ("(n0 p0) (n1 p1) (n2 p2)", "n0 n1 n2", "p0 p1 p2"),
}
"""For each number of axes, in einops' language: the axes of an image, those of the windows, those of the columns."""


def _grid(size: tuple[int, ...], window: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The window shrunk to the image, and how many of them cover each axis."""
    if len(size) != len(window):
        raise ValueError(f"window {window} is for {len(window)}D images, got one of size {size}.")
    window = tuple(min(p, s) for p, s in zip(window, size, strict=True))
    return window, tuple(ceil(s / p) for p, s in zip(window, size, strict=True))


def _pad(image: Tensor, window: tuple[int, ...], grid: tuple[int, ...]) -> Tensor:
    """Zeros behind the last voxel of each axis, up to whole windows."""
    missing = [n * p - s for s, p, n in zip(image.shape[2:], window, grid, strict=True)]
    if not any(missing):
        return image
    return functional.pad(image, [number for m in reversed(missing) for number in (0, m)])


def _crop(image: Tensor, size: Sequence[int]) -> Tensor:
    """The first `size` voxels of each spatial axis of `(B, C, *S)`."""
    return image[(slice(None), slice(None), *(slice(s) for s in size))]


def _roll(image: Tensor, shifts: list[int]) -> Tensor:
    return torch.roll(image, shifts, dims=list(range(2, image.ndim)))


def check_channels(x: Tensor, head_dim: int) -> None:
    """Raises a `ValueError` where the channels of `(B, C, *S)` are not whole heads."""
    if x.shape[1] % head_dim:
        raise ValueError(f"head_dim must divide the number of channels, {x.shape[1]}, got {head_dim}.")
