"""Stain-AgLr: equal predictions under another look, and the first look regenerated (Raipuria, Shrivastava, Singhal).

Each image x is also seen as x' with other intensities (`adaptation/jitter.py`):

    L      = L_CE + lambda1 L_Reg + lambda2 L_Cons
    L_Cons = KL(f(x) || f(x'))
    L_Reg  = (1 / (W H)) sum_pixels ||M_gen(M_ft(x')) - x||^2

The paper refers to its weights by another equation than this one, and says neither whether the branch of x is held
fixed in the divergence, nor whether the logits are made probabilities before, nor whether x' has a loss of its own.

Ours: both are probabilities, the branch of x is held fixed, and nnU-Net's loss is of both images. The divergence is a
mean over the voxels of the highest resolution, those of the ignore label left out; regions have one for each output.
The paper's lambda2 = 10 is for one divergence an image, 1 is taken for voxels. The generator sees the deepest features
alone, without skips, through which it could copy x'.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.adaptation.divergence import divergence
from nnunetv2_factorizer.adaptation.jitter import jitter_for
from nnunetv2_factorizer.adaptation.objective import Batch, Objective
from nnunetv2_factorizer.factorization import resize
from nnunetv2_factorizer.inference.images import channel_names
from nnunetv2_factorizer.training.bare import bare

if TYPE_CHECKING:
    from nnunetv2_factorizer.adaptation.with_objective import WithObjective

WIDEST = 16
"""Channels of the generator."""


class Consistency(Objective):
    """A batch is twice as large as the plans say, and takes twice the memory."""

    consistency: ClassVar[float] = 1.0
    """lambda2."""
    regeneration: ClassVar[float] = 0.1
    """lambda1."""

    def __init__(self, trainer: "WithObjective") -> None:
        super().__init__(trainer)
        names, configuration = channel_names(trainer.dataset_json), trainer.configuration_manager
        self.channels = len(names)  # in a cascade, labels of the first stage are behind them
        self.jitter = jitter_for(names, configuration.normalization_schemes)
        encoder: Any = bare(trainer.network).encoder
        self.generator = Generator(encoder.output_channels, self.channels, len(configuration.patch_size))

    def pose(self, batch: Batch) -> Batch:
        data, target, keys = batch["data"], batch["target"], list(batch["keys"])
        look = torch.cat([self.jitter(data[:, : self.channels]), data[:, self.channels :]], 1)
        twice = [torch.cat([t, t]) for t in target] if isinstance(target, list) else torch.cat([target, target])
        return batch | {"data": torch.cat([data, look]), "target": twice, "keys": keys + keys}

    def terms(self, features: Sequence[Tensor], outputs: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        labels = self.trainer.label_manager
        raw, other = outputs[0].float().chunk(2)
        divergences = divergence(raw.detach(), other, labels.has_regions)
        counted = known(batch["target"], labels).chunk(2)[0]
        sizes = [stage.shape[2:] for stage in reversed(features[:-1])]
        images = batch["data"].chunk(2)[0][:, : self.channels]
        regenerated = self.generator(features[-1].chunk(2)[1], sizes, images.shape[2:])
        return {
            "consistency": self.consistency * (divergences * counted).sum() / counted.sum().clamp(min=1),
            "regeneration": self.regeneration * (regenerated.float() - images).square().sum(1).mean(),
        }


class JitterAlone(Consistency):
    """The control: both looks in training, and neither term."""

    consistency = regeneration = 0.0


class Generator(nn.Module):
    """Images `(B, C, *S)` from the deepest features: a convolution at each resolution, linear interpolation between.

    There are no norms, which would take away the intensities that are to be regenerated.

    Args:
        widths: channels of the encoder's stages, highest resolution first.
        channels: C.
        axes: of S.
    """

    def __init__(self, widths: Sequence[int], channels: int, axes: int) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
        through = [widths[-1], *[min(width, WIDEST) for width in reversed(widths[:-1])]]
        self.convolutions = nn.ModuleList(conv(a, b, 3, padding=1) for a, b in pairwise(through))
        self.head = conv(through[-1], channels, 1)

    def forward(self, x: Tensor, sizes: Sequence[Sequence[int]], size: Sequence[int]) -> Tensor:
        for convolution, larger in zip(self.convolutions, sizes, strict=True):
            x = resize(functional.leaky_relu(convolution(x)), larger)
        return resize(self.head(x), size)


def known(target: Tensor | list[Tensor], labels: Any) -> Tensor:
    """1 for each voxel `(B, *S)` at the highest resolution that is labelled, 0 for those of the ignore label.

    Args:
        target: nnU-Net's. With regions, its last channel says where the ignore label is.
        labels: nnU-Net's label manager.
    """
    target = target[0] if isinstance(target, list) else target
    if not labels.has_ignore_label:
        return torch.ones_like(target[:, 0], dtype=torch.float32)
    ignored = target[:, -1] != 0 if labels.has_regions else target[:, 0] == labels.ignore_label
    return (~ignored).float()
