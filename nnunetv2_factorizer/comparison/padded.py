"""The one adapter for networks that know nothing of nnU-Net: any patch, its flag, its names (ours)."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import accumulate
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.comparison.padding import Size, check_patch, crop, is_planning, pad, padded_size, tell, times
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.network.memory import forward_memory

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


class Heads(nn.Module):
    """Makes logits of the features of a network; nnU-Net sets `deep_supervision` on it.

    Args:
        seg_layers: one head for each output, highest resolution first.
        levels: which of the features each head takes.
        totals: by how much each output is coarser than the image, one number an axis, as nnU-Net resamples the labels.
        deep_supervision: gives the list of all outputs, otherwise the first alone.
    """

    def __init__(
        self, seg_layers: Iterable[nn.Module], levels: Sequence[int], totals: Sequence[Size], deep_supervision: bool
    ) -> None:
        super().__init__()
        self.seg_layers = nn.ModuleList(seg_layers)
        self.levels, self.totals, self.deep_supervision = levels, totals, deep_supervision

    def forward(self, features: list[Tensor], size: Size, padded: Size) -> Tensor | list[Tensor]:
        if not self.deep_supervision:
            return crop(self.seg_layers[0](features[0]), size)
        outputs = []
        for head, level, total in zip(self.seg_layers, self.levels, self.totals, strict=True):
            logits, grid = head(features[level]), _divided(padded, total)
            if logits.shape[2:] != grid:  # nnU-Net's stages halve other axes than the network's
                logits = functional.interpolate(logits, grid, mode=INTERPOLATION[len(grid)])
            outputs.append(crop(logits, _divided(size, total)))
        return outputs


class Padded(nn.Module):
    """A foreign network behind nnU-Net's contract. A subclass makes its layers and `self.decoder`, and has `features`.

    The input `(B, C, *S)` is padded with zeros to what the network can take, the logits are cropped back, those of deep
    supervision too. What that costs is printed once.

    Args:
        input_channels: of the image.
        patch_size: of the plan, in voxels.
        strides: of each stage of the plan, one number an axis: they say where nnU-Net expects outputs.
        deep_supervision: how `decoder.deep_supervision` starts.

    Raises:
        UserError: the network cannot be made for this patch.
    """

    multiple: ClassVar[int]
    """That each axis of a patch must be divisible by."""
    lowest_voxels: ClassVar[int] = 1
    """At the lowest resolution. Norms over the voxels of an image, channel by channel, need two."""
    dimensions: ClassVar[Size] = (2, 3)
    """Numbers of axes that it can have."""
    one_size: ClassVar[bool] = False
    """Whether weights belong to places in the patch, so that the network takes no other size."""
    has_deep_supervision: ClassVar[bool] = False
    """Without, the list of outputs has one entry, at full resolution, and trainers switch deep supervision off."""
    key_to_encoder: ClassVar[str]
    key_to_stem: ClassVar[str]
    keys_to_in_proj: ClassVar[tuple[str, ...]]
    key_to_lpe: ClassVar[str | None] = None

    decoder: Heads

    def __init__(
        self, input_channels: int, patch_size: Sequence[int], strides: Sequence[Sequence[int]], deep_supervision: bool
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_patch(name, patch_size, strides[:-1] if self.has_deep_supervision else [], self.dimensions)
        self.input_channels = input_channels
        self.patch_size = tuple(patch_size)
        self.padded_size = padded_size(patch_size, self.multiple, self.lowest_voxels)
        if self.padded_size != self.patch_size and not is_planning():
            tell(name, self.patch_size, self.padded_size, self.multiple, self.lowest_voxels)
        if deep_supervision and not self.has_deep_supervision and not is_planning():
            _tell_no_deep_supervision(name)

    def features(self, x: Tensor) -> list[Tensor]:
        """What the heads take, highest resolution first, for an input `(B, C, *S)` that is padded."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        size = tuple(x.shape[2:])
        padded = padded_size(size, self.multiple, self.lowest_voxels)
        if self.one_size and padded != self.padded_size:
            raise UserError(
                f"{type(self).__name__} was made for patches of {times(self.patch_size)} voxels, got {times(size)}.",
                "Predict and train with the patch of its plans.",
            )
        return self.decoder(self.features(pad(x, padded)), size, padded)

    def compute_conv_feature_map_size(self, input_size: Sequence[int]) -> int:
        """How many float32 numbers the forward pass of a patch, in voxels, keeps for the backward pass."""
        return forward_memory(self, (1, self.input_channels, *input_size)) // 4

    @staticmethod
    def initialize(module: nn.Module) -> None:
        """Nothing: each network has its own."""


def one_head(seg_layer: nn.Module, num_axes: int, deep_supervision: bool) -> Heads:
    """The decoder of a network without deep supervision."""
    return Heads([seg_layer], [0], [(1,) * num_axes], deep_supervision)


def heads_for(
    strides: Sequence[Sequence[int]], number: int, make_head: Callable[[int], nn.Module], deep_supervision: bool
) -> Heads:
    """The decoder of a network with deep supervision: a head for each stage of nnU-Net's decoder.

    Args:
        strides: of each stage of the plan.
        number: of features that the network has, each half as fine as the one before in every axis.
        make_head: gives a head for the features of a level, 0 for the finest.
        deep_supervision: how the flag starts.
    """
    per_axis = [list(accumulate(axis, int.__mul__)) for axis in zip(*strides[:-1], strict=True)]
    totals = list(zip(*per_axis, strict=True))
    levels = [min(max(total).bit_length(), number) - 1 for total in totals]
    return Heads([make_head(level) for level in levels], levels, totals, deep_supervision)


def _divided(size: Sequence[int], total: Sequence[int]) -> Size:
    return tuple(voxels // coarser for voxels, coarser in zip(size, total, strict=True))


@cache  # once
def _tell_no_deep_supervision(name: str) -> None:
    print(
        f"{name} has no outputs at lower resolutions: deep supervision, which was asked for, has one output, at full "
        "resolution. Its own trainers switch it off (enable_deep_supervision = False)."
    )
