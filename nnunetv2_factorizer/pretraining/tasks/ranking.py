"""Ranking of slices by similarity: what comparative and contrastive pre-training share.

Yildiz et al. (2022) divide each axis of all images into P = 4 parts. A slice of image i in part p is the reference, one
of another image j in the same part is similar, one of image i in another part is dissimilar. The score s of two slices
is the cosine of what the network makes of them: first, of its encoder alone, the latent features Z; then, of encoder
and decoder, the predictions, for each class c.

What is ours:

- The images are the crops of one batch, passed through the network once. One slice is drawn for each image, axis and
  part, and all triplets that these make are compared. All axes take part in each training step; the paper has them one
  after another, which would need a pass for each.
- The part of a slice is the one that most of its voxels lie in, since augmentation tilts slices. A crop of a large
  image has some of the parts only, and triplets that it cannot make are left out.
- The slice of Z is the one that contains the slice of the image. Two parts of an image may share it at their border:
  there is nothing to rank then.
- Predictions are logits, so that a data set of one class, whose softmax is constant, works as well.
- Losses are means over the triplets, where the paper has sums: their size is the same for every batch.

Order accuracy above chance is not all anatomy. The dissimilar slice is never where the reference is, and the padding of
convolutions, or a position embedding, tells a network where in the patch it is: what it reaches on images of noise is
the number to compare with. nnU-Net's mirroring leaves it the difference between outer and inner parts only.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.factorization.precision import without_autocast
from nnunetv2_factorizer.pretraining.stopping import StoppingRule
from nnunetv2_factorizer.pretraining.task import Batch, Measure, Task

CHANCE = 0.5


class SliceRanking(Task):
    """Two steps, the encoder alone and then the network; each ends by the stopping rule, or with half of the epochs."""

    parts = 4
    cases = 2
    measured = "order accuracy"
    unlearned = "chance"
    best = 1.0
    steps: ClassVar[int] = 10
    """That the stopping rule looks back."""
    tolerance: ClassVar[float] = 0.01
    """Of the stopping rule."""
    second: Tensor

    def __init__(self, body: nn.Module, input_channels: int, patch_size: tuple[int, ...]) -> None:
        super().__init__(body, input_channels, patch_size)
        self.patch_size = patch_size
        self.rule = StoppingRule(self.steps, self.tolerance)
        self.register_buffer("second", torch.zeros((), dtype=torch.bool))
        self.with_decoder = False  # the same as `second`, as a value that a compiled forward can look at

    @classmethod
    def output_channels(cls, input_channels: int, num_classes: int) -> int:
        """The classes of the data set, which the paper compares one by one."""
        return num_classes

    def start_epoch(self, done: float) -> str | None:
        """Goes on to the second step when the first is done."""
        message = None
        if not self.second and (self.rule.held or done >= 0.5):
            held = f"stopping rule held after {self.rule.held} training steps" if self.rule.held else "half of the time"
            message = f"From here on encoder and decoder are trained; before, the encoder alone ({held})."
            self.second.fill_(True)
            self.rule.restart()
        self.with_decoder = bool(self.second)
        return message

    def observe(self, loss: float) -> None:
        if loss != 0:  # which is a batch without a pair
            self.rule.observe(loss)

    @property
    def finished(self) -> bool:
        return bool(self.second) and self.rule.held > 0

    def pose(self, batch: Batch) -> Batch:
        """The target is the drawn slices `(B, A, P)` and, `(B, B)`, which items are of different cases."""
        data = batch["data"]
        where = batch["target"][:, 2 - data.ndim :]  # of a slice of an image, in 2D, the first axis is not in the patch
        _, case = np.unique(batch["keys"], return_inverse=True)
        different = torch.from_numpy(case[:, None] != case).to(data.device)
        return {**batch, "target": [draw_slices(where, self.parts), different]}

    def forward(self, body: nn.Module, data: Tensor) -> Tensor:
        """`(B, c, D, *S)`: for each of c classes what is compared of a voxel. Of Z that is all channels as one."""
        if self.with_decoder:
            predictions: Tensor = body(data)
            return predictions.unsqueeze(2)
        latent: Tensor = body.encoder(data)[-1]  # type: ignore[operator]
        return latent.unsqueeze(1)

    def loss(self, outputs: Tensor, target: list[Tensor]) -> Tensor:
        return self.of_triplets(*self._triplets(outputs, target))

    def of_triplets(self, difference: Tensor, there: Tensor) -> Tensor:
        """The loss for what `triplets` gives."""
        raise NotImplementedError

    def measure(self, outputs: Tensor, target: list[Tensor]) -> Measure:
        """The share of triplets in which the similar slice is nearer; where both are as near, half."""
        difference, there = self._triplets(outputs, target)
        right = (1 - difference.sign()) / 2
        return Measure(mean(right, there).item() if there.any() else CHANCE, CHANCE)

    def _triplets(self, outputs: Tensor, target: list[Tensor]) -> tuple[Tensor, Tensor]:
        slices, different = target
        with without_autocast(outputs):
            return triplets(outputs.float(), slices, different, self.patch_size)


def draw_slices(where: Tensor, parts: int) -> Tensor:
    """A random slice of each part: the indices `(B, A, parts)`, -1 where the patch has no slice of a part.

    Args:
        where: `(B, A, *S)`, for each of the A axes of the patch the part that a voxel lies in, 1 to `parts`, or 0.
        parts: of each axis.
    """
    drawn = []
    for axis in range(where.shape[1]):
        slices = where[:, axis].movedim(axis + 1, 1).flatten(2)
        voxels = torch.stack([(slices == part + 1).sum(-1) for part in range(parts)], dim=-1)
        inside = voxels.sum(-1, keepdim=True)
        # A slice is of the part of more than half of its image voxels; it has half as many of them as the fullest.
        eligible = (2 * voxels > inside) & (2 * inside >= inside.amax(1, keepdim=True))
        lot, index = torch.rand(eligible.shape, device=where.device).masked_fill(~eligible, -1).max(dim=1)
        drawn.append(index.masked_fill(lot < 0, -1))
    return torch.stack(drawn, dim=1)


def triplets(outputs: Tensor, slices: Tensor, different: Tensor, patch_size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """`s(reference, dissimilar) - s(reference, similar)`, `(A, c, i, j, p, q)`, and which of them there are.

    The reference is the slice of item i in part p, the similar one of item j in part p, the dissimilar one of item i in
    part q.

    Args:
        outputs: `(B, c, D, *S)`, with fewer voxels than the patch where they are of a lower resolution.
        slices: `(B, A, P)`, indices of slices of the patch, -1 where there is none.
        different: `(B, B)`, whether two items are of different cases.
        patch_size: of each of the A axes.
    """
    differences, there = [], []
    items = torch.arange(len(outputs), device=outputs.device)[:, None]
    for axis, size in enumerate(patch_size):
        drawn = slices[:, axis] >= 0
        index = slices[:, axis].clamp_min(0) * outputs.shape[axis + 3] // size
        unit = functional.normalize(outputs.movedim(axis + 3, 1)[items, index].flatten(3), dim=-1)
        scores = torch.einsum("ipcn,jqcn->cipjq", unit, unit)
        similar = scores.diagonal(dim1=2, dim2=4)
        dissimilar = scores.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
        differences.append(dissimilar[:, :, None] - similar[..., None])
        apart = index[:, :, None] != index[:, None]
        of_reference = drawn[:, :, None] & drawn[:, None] & apart
        there.append(different[:, :, None, None] & drawn[None, :, :, None] & of_reference[:, None])
    difference = torch.stack(differences)
    return difference, torch.stack(there)[:, None].expand_as(difference)


def mean(values: Tensor, there: Tensor) -> Tensor:
    """Over those that there are; 0 if there are none."""
    return (values * there).sum() / there.sum().clamp_min(1)
