"""Tasks of a meta-training: a few labelled patches of a binary data set (Farshad et al., MetaMedSeg).

- Volumetric, the paper's proposal: at most K evenly spaced slices of one volume. Of the n slices that show the organ
  each ceil(n / K)-th is taken, always the same ones.
- Standard: K random slices of a binary data set.
- A binary data set of an organ with z variants (channels, zones) is drawn at a rate of 1/z.

Ours: In 3D a patch stands for a slice, and the places are those on the longest axis of the volume. Across that axis a
patch lies around a random voxel of the organ, as nnU-Net's do, where the image is larger. A data set of nnU-Net counts
as one organ, so each is drawn as often.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator

from nnunetv2_factorizer.pretraining.reptile_sources import Pair
from nnunetv2_factorizer.pretraining.task import Batch

Shot = tuple[str, tuple[int, ...]]
"""A labelled patch: the case and the corner in it."""


class MetaTask(NamedTuple):
    """What a copy of the network is trained on for a few steps."""

    shots: Batch
    """`data` and `target` `(n, 1, *S)`, names in `keys`. The target is that of `Pair.patch`."""
    steps: list[np.ndarray]
    """For each of the k inner steps, which shots are its batch."""
    unseen: Batch | None = None
    """Shots of another case of the same binary data set, where there is one; they are not trained on."""


@dataclass(frozen=True)
class TaskSampler:
    """Draws tasks.

    Args:
        pairs: binary data sets.
        patch_size: 2D or 3D.
        shots: K, of a task.
        standard: K random shots; else the task is volumetric.
        steps: k, in the inner loop.
        batch_size: shots in one of these; all shots where there are fewer.
    """

    pairs: Sequence[Pair]
    patch_size: tuple[int, ...]
    shots: int
    standard: bool
    steps: int
    batch_size: int

    def draw(self, rng: Generator, with_unseen: bool = False) -> MetaTask:
        """One task."""
        pair = self.pairs[rng.choice(len(self.pairs), p=rates([pair.organ for pair in self.pairs]))]
        shots = self._random(pair, rng) if self.standard else self._evenly_spaced(pair, pair.cases, rng)
        steps = inner_batches(len(shots), self.batch_size, self.steps, rng)
        if not with_unseen:
            return MetaTask(self._read(pair, shots), steps)
        seen = {case for case, _ in shots}
        others = [case for case in pair.cases if case not in seen] or pair.cases
        unseen = self._evenly_spaced(pair, others, rng)
        return MetaTask(self._read(pair, shots), steps, self._read(pair, unseen))

    @property
    def _size(self) -> tuple[int, ...]:
        """Of a patch in an image, which always has three axes."""
        return (1,) * (3 - len(self.patch_size)) + self.patch_size

    def _random(self, pair: Pair, rng: Generator) -> list[Shot]:
        shots = []
        for case in rng.choice(pair.cases, self.shots).tolist():
            size, voxels = pair.foreground(case)
            corner = corners(voxels[rng.integers(len(voxels))], size, self._size)
            shots.append((case, tuple(corner.tolist())))
        return shots

    def _evenly_spaced(self, pair: Pair, cases: Sequence[str], rng: Generator) -> list[Shot]:
        case = str(rng.choice(cases))
        size, voxels = pair.foreground(case)
        sliced = len(self.patch_size) == 2 and size[0] > 1  # nnU-Net's slices lie along the first axis
        axis = 0 if sliced else int(np.argmax(size))
        found = evenly_spaced(voxels, size, self._size, axis, self.shots, rng)
        return [(case, tuple(corner.tolist())) for corner in found]

    def _read(self, pair: Pair, shots: Sequence[Shot]) -> Batch:
        patches = [pair.patch(case, corner, self._size) for case, corner in shots]
        images, targets = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*patches, strict=True))
        shape = (len(shots), 1, *self.patch_size)
        return {"data": images.view(shape), "target": targets.view(shape), "keys": [case for case, _ in shots]}


def rates(organs: Sequence[str]) -> np.ndarray:
    """How often each binary data set is drawn, by the organ it shows: 1/z of each organ, then normalised."""
    variants = Counter(organs)
    rate = np.array([1 / variants[organ] for organ in organs])
    return rate / rate.sum()


def corners(voxels: np.ndarray, size: Sequence[int], patch: Sequence[int]) -> np.ndarray:
    """Of patches around voxels `(..., 3)`, inside the image; where it is smaller than the patch, around the image."""
    room = np.subtract(size, patch)
    return np.where(room > 0, np.clip(voxels - np.floor_divide(patch, 2), 0, room), room // 2)


def evenly_spaced(
    voxels: np.ndarray, size: Sequence[int], patch: Sequence[int], axis: int, number: int, rng: Generator
) -> list[np.ndarray]:
    """Corners of patches: of the n places on an axis that are around voxels `(m, 3)`, each ceil(n / number)-th.

    At each place it is one of the voxels there, by chance, that the patch is around.
    """
    of_voxels = corners(voxels, size, patch)
    places = np.unique(of_voxels[:, axis])
    return [
        rng.choice(of_voxels[of_voxels[:, axis] == place], axis=0) for place in places[:: -(-len(places) // number)]
    ]


def inner_batches(shots: int, batch_size: int, steps: int, rng: Generator) -> list[np.ndarray]:
    """For each step the numbers of the shots in its batch: all shots in random order, again and again."""
    size = min(batch_size, shots)
    rounds = -(-steps * size // shots)
    order = np.concatenate([rng.permutation(shots) for _ in range(rounds)])
    return [order[step * size : (step + 1) * size] for step in range(steps)]
