"""Masked reconstruction: most of an image is hidden in blocks, and the network fills them in.

- MAE as nnssl has it for segmentation (`BaseMAETrainer`): blocks of a tenth of the patch, 75 % of them set to 0, mean
  squared error over the masked voxels.
- SimMIM (Xie et al., CVPR 2022), which Ma et al. continue on X-rays (patents pending on the chain): 60 % of the blocks,
  mean absolute error. Its learned token for a masked patch is here a learned number for each channel, since the network
  has voxels and no tokens (ours).

Outside the image, where nnU-Net pads, nothing counts.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.pretraining.blocks import block_size, random_blocks
from nnunetv2_factorizer.pretraining.task import Batch, Measure, Task


class MaskedReconstruction(Task):
    """`L = sum(M |x' - x|^p) / sum(M)` for the image `x`, its reconstruction `x'` and the mask `M`."""

    measured = "masked error"
    unlearned = "predicting the mean"
    best = 0.0
    blocks_in_a_row: ClassVar[int] = 10
    """On the longest axis of the patch."""
    share: ClassVar[float] = 0.75
    """Of the blocks, that are masked."""
    squared: ClassVar[bool] = True
    """p = 2; else p = 1."""
    learned_token: ClassVar[bool] = False
    """What masked voxels are set to: a learned number, else 0, the mean of a normalised image."""

    def __init__(self, body: nn.Module, input_channels: int, patch_size: tuple[int, ...]) -> None:
        super().__init__(body, input_channels, patch_size)
        self.block = block_size(patch_size, self.blocks_in_a_row)
        token = torch.zeros(input_channels, *[1] * len(patch_size))
        self.token = nn.Parameter(token) if self.learned_token else None

    def pose(self, batch: Batch) -> Batch:
        """The last channel of `data` is the mask, since nnU-Net's training step hands the network one tensor."""
        image, inside = batch["data"], batch["target"] > 0
        masked = random_blocks(image.shape, self.block, self.share, image.device)
        data = torch.cat([image.masked_fill(masked, 0), masked], dim=1)
        return {**batch, "data": data, "target": [image, masked & inside]}

    def forward(self, body: nn.Module, data: Tensor) -> Tensor:
        image, masked = data[:, :-1], data[:, -1:]
        restored: Tensor = body(image if self.token is None else image + self.token * masked)
        return restored

    def loss(self, outputs: Tensor, target: list[Tensor]) -> Tensor:
        return self._error(outputs, *target)

    def measure(self, outputs: Tensor, target: list[Tensor]) -> Measure:
        image, masked = target
        mean = (image * masked).flatten(2).sum(-1) / masked.flatten(2).sum(-1).clamp_min(1)
        constant = mean.view(*mean.shape, *[1] * (image.ndim - 2)).expand_as(image)
        return Measure(self._error(outputs, image, masked).item(), self._error(constant, image, masked).item())

    def _error(self, restored: Tensor, image: Tensor, masked: Tensor) -> Tensor:
        error = functional.mse_loss if self.squared else functional.l1_loss
        of_voxels = error(restored.float(), image, reduction="none")
        return (of_voxels * masked).sum() / (masked.sum() * image.shape[1]).clamp_min(1)


class SimMIM(MaskedReconstruction):
    """60 % of blocks of a fifth of the patch, absolute error, a learned number in place of masked voxels."""

    blocks_in_a_row = 5
    share = 0.6
    squared = False
    learned_token = True
