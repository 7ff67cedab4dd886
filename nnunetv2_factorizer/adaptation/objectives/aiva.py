"""AIVA: a scanner without labels is drawn to the one with labels, cluster by cluster (Goodman, Kasten Serlin,
Greenspan, Goldberger).

After each epoch the deepest features of its source and target patches are clustered, with k centres mu on each side:

    pi      = argmin_pi sum_i ||mu_i^t - mu_pi(i)^s||^2
    nu_i^s  = mean deepest features of the source patches in cluster i
    L_align = sum_i ||x_i^t - nu_pi(i)^s||^2,   x_i^t the mean of those target patches of the batch that are in i
    L       = L_seg(source) + lambda L_align,   lambda = 1 / (mean L_align of the first batches)

Not in the text, but in the authors' release, is the position that is appended to the features before the clusters are
made; it keeps the matching stable. The release weighs clusters by their size, the formula all alike, as here. It also
keeps the checkpoint with the best score on labelled target images, which a method without labels may not: here the
labels of the target are never read, and `checkpoint_best.pth` goes by validation cases of the source.

Ours: patches in place of slices, in 2D and 3D, and their position along all axes; features are averaged to at most 4
cells an axis; a second PCA in place of t-SNE, which is the default since it always gives the same; a patch is in the
cluster of its nearest neighbour in the epoch before. All weights move, with the learning rates of an adaptation; the
release goes slower, freezes the decoder and steps once for many batches.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_factorizer.adaptation.matching import Matching, match
from nnunetv2_factorizer.adaptation.methods.mmtl import MMTL
from nnunetv2_factorizer.adaptation.objective import Batch, Objective
from nnunetv2_factorizer.adaptation.paired import pair
from nnunetv2_factorizer.adaptation.target_data import find_target
from nnunetv2_factorizer.errors import UserError

if TYPE_CHECKING:
    from nnunetv2_factorizer.adaptation.with_objective import WithObjective

CELLS = 4
"""Of the deepest features along an axis, at most."""

FIRST = 6
"""Batches, whose mean gives lambda; in them nothing is added to the loss yet."""

TINY = 1e-12


class AIVA(Objective):
    """A batch is twice as large as the plans say. The target is named by the variable `nnUNet_target_dataset`."""

    k: ClassVar[int] = 12
    components: ClassVar[int] = 20
    embedding: ClassVar[str] = "pca"
    """Or `tsne`, as in the paper."""
    matching: ClassVar[str] = "hungarian"
    first: Tensor

    def __init__(self, trainer: "WithObjective") -> None:
        super().__init__(trainer)
        if isinstance(getattr(trainer, "adaptation", None), MMTL):
            raise UserError(
                f"{type(trainer).__name__} would have a labelled target (MMTL) beside an unlabelled one (AIVA).",
                "Take MMTL where the new scanner has labels, and AIVA without MMTL where it has none.",
            )
        self.register_buffer("first", torch.zeros(2))  # the number of the first values of L_align, and their sum
        self.matched: Matching | None = None

    def start_training(self) -> None:
        trainer = self.trainer
        if (patches := trainer.batch_size * trainer.num_iterations_per_epoch) < self.k:
            raise UserError(
                f"an epoch of {type(trainer).__name__} has {patches} patches of each data set, fewer than the "
                f"{self.k} clusters.",
                f"Set num_iterations_per_epoch to {-(-self.k // trainer.batch_size)} or more, or the attribute `k` of "
                "the objective to less.",
            )
        name, target = find_target(trainer)
        pair(trainer.dataloader_train, name, target)
        trainer.print_to_log_file(f"Target: {len(target.identifiers)} cases of {name}; their labels are not read")

    def start_epoch(self) -> None:
        self._features: list[np.ndarray] = []
        self._positions: list[np.ndarray] = []

    def supervised(self, outputs: Tensor) -> Tensor:
        return outputs.chunk(2)[0]

    def terms(self, features: Sequence[Tensor], outputs: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        cells = averaged(features[-1])
        self._features.append(cells.detach().cpu().numpy())
        self._positions.append(batch["positions"].cpu().numpy())
        return {"align": self._align(cells.chunk(2)[1])}

    def end_epoch(self) -> None:
        source, target = self._sides(self._features)
        where = self._sides(self._positions)
        epoch = self.trainer.current_epoch
        self.matched = match(
            source, target, *where, self.k, self.components, self.embedding, self.matching, seed=epoch
        )  # fmt: skip
        self.trainer.print_to_log_file(
            f"mean distance of {self.k} matched centres: {self.matched.distance:.3f} ({self.matching})"
        )

    def get_extra_state(self) -> dict[str, Tensor] | None:
        if self.matched is None:
            return None
        return {name: torch.as_tensor(value) for name, value in asdict(self.matched).items()}

    def set_extra_state(self, state: dict[str, Tensor] | None) -> None:
        self.matched = None if state is None else Matching(**{name: v.cpu().numpy() for name, v in state.items()})

    def _align(self, target: Tensor) -> Tensor:
        """lambda L_align of the target patches `(B, F)`, in the clusters of the epoch before."""
        if self.matched is None:
            return target.new_zeros(())
        clusters = self.matched.clusters_of(self._features[-1][len(target) :], self._positions[-1][len(target) :])
        anchors = torch.from_numpy(self.matched.anchors).to(target)
        value = align(target, torch.from_numpy(clusters).to(target.device), anchors)
        if self.first[0] < FIRST:
            self.first += torch.stack([torch.ones_like(value), value]).detach()
            return torch.zeros_like(value)
        return value * self.first[0] / self.first[1].clamp(min=TINY)

    def _sides(self, of_batches: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        both: Any = np.stack([np.split(values, 2) for values in of_batches])
        return np.concatenate(both[:, 0]), np.concatenate(both[:, 1])


class RandomMatching(AIVA):
    """The control: the clusters are matched at random."""

    matching = "random"


def averaged(features: Tensor) -> Tensor:
    """`(B, C, *S)` averaged to at most `CELLS` cells an axis, `(B, F)`."""
    cells = [min(CELLS, size) for size in features.shape[2:]]
    pool: Any = functional.adaptive_avg_pool3d if len(cells) == 3 else functional.adaptive_avg_pool2d
    return pool(features.float(), cells).flatten(1)


def align(features: Tensor, clusters: Tensor, anchors: Tensor) -> Tensor:
    """L_align, over the clusters that are there.

    Args:
        features: of target patches `(B, F)`.
        clusters: of each, `(B,)`.
        anchors: nu_pi(i) of each cluster i, `(k, F)`.
    """
    distances = [(features[clusters == i].mean(0) - anchors[i]).square().sum() for i in clusters.unique()]
    return torch.stack(distances).sum()
