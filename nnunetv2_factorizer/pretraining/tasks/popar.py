"""POPAR: where does each block of an image belong, and what did it look like? (Pang et al., 2022; patents pending.)

Of the images half are shuffled, block by block (`F_perm`), and half are changed in appearance (`F_tran`). For each
block the network finds the place that it comes from, `L_pop = -mean(log P(place))`, and for each place what was there
before, `L_ar = mean(||p - p'||^2)`. The loss is `lambda L_pop + (1 - lambda) L_ar`.

Ours, since a segmentation network has voxels and no tokens:

- Blocks are those of a grid on the patch. The order is read by one linear layer from features of the encoder, averaged
  in each block: those of the lowest resolution of which whole cells fit into blocks. The appearance is the output.
- Both losses are means. In the paper they are sums over blocks, and one over voxels: lambda depends on the patch there.
- In images that are not shuffled the answer is the place itself, which the padding of convolutions tells. Their order
  does not count; `order_of_transformed = 1` is the paper.
- A network of windows or small kernels cannot bring a block back to where it was. `restore = "as_seen"` asks for its
  appearance in the place where it is shown.
- nnU-Net's mirroring would make left and right the same, so images stay upright. Blocks wholly outside the image do
  not count.
"""

from copy import deepcopy
from math import prod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.pretraining.blocks import divisions, join_blocks, split_blocks
from nnunetv2_factorizer.pretraining.task import Batch, Measure, Task
from nnunetv2_factorizer.pretraining.tasks.appearance import transformed

Outputs = tuple[Tensor | None, Tensor | None]
"""Logits `(B, n, n)`, for each of n blocks those of its n possible places; and the restored image. None: not asked."""


class POPAR(Task):
    """Order of the blocks and appearance."""

    measured = "order accuracy"
    unlearned = "chance"
    best = 1.0
    upright = True
    blocks_in_a_row: ClassVar[int] = 4
    """At most, on each axis of the patch: the largest number that divides it."""
    shuffled_share: ClassVar[float] = 0.5
    """Of the images of a batch; the others are transformed."""
    order_share: ClassVar[float] = 0.5
    """lambda. With 1 or 0 the other half of the task is left out."""
    order_of_transformed: ClassVar[float] = 0.0
    """Weight in L_pop of a block of a transformed image; that of a shuffled one is 1."""
    restore: ClassVar[Literal["original", "as_seen"]] = "original"
    """In which order a shuffled image is restored."""

    def __init__(self, body: nn.Module, input_channels: int, patch_size: tuple[int, ...]) -> None:
        super().__init__(body, input_channels, patch_size)
        shapes = feature_shapes(body, input_channels, patch_size)
        self.grid = divisions(shapes[0][1:], self.blocks_in_a_row)
        blocks = prod(self.grid)
        if blocks == 1:
            raise UserError(
                f"no axis of the patch {patch_size} can be divided by a number from 2 to {self.blocks_in_a_row}.",
                "Plan another patch size, or take a task without a grid: MAE.",
            )
        fitting = [all(n % g == 0 for n, g in zip(shape[1:], self.grid, strict=True)) for shape in shapes]
        self.level = max(level for level, fits in enumerate(fitting) if fits)
        self.order = nn.Linear(shapes[self.level][0], blocks) if self.order_share else None

    def pose(self, batch: Batch) -> Batch:
        """`target`: restored image and where it counts; what is seen; source, whether it counts; what is shuffled."""
        image, inside = batch["data"], batch["target"] > 0
        shuffled = self._choose(len(image), image.device)
        places = torch.arange(prod(self.grid), device=image.device)
        order = torch.rand(len(image), len(places), device=image.device).argsort(dim=1)
        source = torch.where(shuffled[:, None], order, places)
        moved, moved_inside = (self._reordered(x, source) for x in (image, inside))
        items = zip(shuffled.tolist(), moved, moved_inside, strict=True)
        data = torch.stack([x if is_shuffled else transformed(x, where) for is_shuffled, x, where in items])
        counts = split_blocks(moved_inside, self.grid).flatten(2).any(dim=2)
        restored = [image, inside] if self.restore == "original" else [moved, moved_inside]
        return {**batch, "data": data, "target": [*restored, data, source, counts, shuffled]}

    def forward(self, body: nn.Module, data: Tensor) -> Outputs:
        features = body.encoder(data)  # type: ignore[operator]
        logits = restored = None
        if self.order is not None:
            logits = self.order(split_blocks(features[self.level], self.grid).flatten(3).mean(dim=-1))
        if self.order_share < 1:
            restored = body.decoder(features)  # type: ignore[operator]
        return logits, restored

    def loss(self, outputs: Outputs, target: list[Tensor]) -> Tensor:
        (logits, restored), (image, inside, _, source, counts, shuffled) = outputs, target
        losses = []
        if logits is not None:
            of_blocks = functional.cross_entropy(logits.float().flatten(0, 1), source.flatten(), reduction="none")
            weight = (counts * torch.where(shuffled, 1.0, self.order_of_transformed)[:, None]).flatten()
            losses.append(
                self.order_share * (weight * of_blocks).sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
            )
        if restored is not None:
            losses.append((1 - self.order_share) * squared_error(restored, image, inside))
        return torch.stack(losses).sum()

    def measure(self, outputs: Outputs, target: list[Tensor]) -> Measure:
        """Of shuffled images. A constant answer is right for one block of each, whence chance: 1/n or a bit more."""
        logits, (*_, source, counts, shuffled) = outputs[0], target
        assert logits is not None
        asked = counts & shuffled[:, None]
        number = asked.sum().clamp_min(1)
        right = (logits.argmax(dim=-1) == source) & asked
        return Measure((right.sum() / number).item(), (shuffled.sum() / number).item())

    def _choose(self, batch: int, device: torch.device) -> Tensor:
        """Which images of the batch are shuffled `(B,)`: the share, rounded up or down so that it is right in the mean.

        In validation it is rounded up, since an order must be there to be measured.
        """
        rank = torch.rand(batch, device=device).argsort()
        rest = torch.rand((), device=device) if self.training else 0
        return rank + rest < self.shuffled_share * batch

    def _reordered(self, image: Tensor, source: Tensor) -> Tensor:
        """In each place of `(B, C, *S)` the block that `source` `(B, n)` names."""
        items = torch.arange(len(image), device=image.device)[:, None]
        return join_blocks(split_blocks(image, self.grid)[items, source], self.grid)


class POPAROrder(POPAR):
    """Order alone, of images that are all shuffled: L_pop."""

    shuffled_share = 1.0
    order_share = 1.0


class POPARAppearance(POPAR):
    """Appearance alone, of images that are all transformed: L_ar."""

    measured = "error"
    unlearned = "the image as it is shown"
    best = 0.0
    shuffled_share = 0.0
    order_share = 0.0

    def measure(self, outputs: Outputs, target: list[Tensor]) -> Measure:
        """Whether the image is nearer to the original than what is shown."""
        restored, (image, inside, seen, *_) = outputs[1], target
        assert restored is not None
        errors = [squared_error(x, image, inside).item() for x in (restored, seen)]
        return Measure(*errors)


def squared_error(restored: Tensor, image: Tensor, inside: Tensor) -> Tensor:
    """Mean over the voxels `inside`, `(B, 1, *S)`, and the channels."""
    of_voxels = functional.mse_loss(restored.float(), image, reduction="none")
    return (of_voxels * inside).sum() / (inside.sum() * image.shape[1]).clamp_min(1)


def feature_shapes(body: nn.Module, input_channels: int, patch_size: tuple[int, ...]) -> list[tuple[int, ...]]:
    """`(C, *S)` of the features of each stage of the encoder for a patch, found without computing them."""
    encoder: nn.Module = deepcopy(body.encoder).to("meta")  # type: ignore[assignment]
    with torch.no_grad():
        features = encoder(torch.empty(1, input_channels, *patch_size, device="meta"))
    return [tuple(x.shape[1:]) for x in features]
