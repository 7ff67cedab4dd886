"""The U: an encoder that halves the resolution stage by stage, a decoder that restores it. The blocks are given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.factorization import resize
from nnunetv2_factorizer.network.chunks import Rows
from nnunetv2_factorizer.network.convolution import SeparableDownsampling
from nnunetv2_factorizer.network.layers import PointwiseLinear
from nnunetv2_factorizer.network.memory import step_memory
from nnunetv2_factorizer.network.recompute import Recomputed
from nnunetv2_factorizer.network.settings import TRANSPOSED, ConvOp
from nnunetv2_factorizer.network.upsampling import add_upsampled

BYTES_PER_UNIT = 8


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What the U knows of a resolution."""

    channels: int
    conv_op: ConvOp
    block: Callable[[], nn.Module]
    """Makes a block, `(B, C, *S)` to the same."""
    joining_block: Callable[[], nn.Module] | None = None
    """Makes the first block of the decoder stage, which takes skip and upsampled features side by side, `(B, 2C, *S)`.
    None: a pointwise linear map joins them to `C` channels before the blocks."""
    downsampling: str = "patch"
    """How one gets here from the resolution above: `"patch"` or `"separable"`."""
    recompute: bool = True
    """Join skip and upsampled features again in the backward pass, in place of keeping what that made."""


class PositionEmbedding(nn.Module):
    """Adds learnable vectors on a grid of `size` to `(B, C, *S)`, interpolated where that has another size."""

    def __init__(self, channels: int, size: tuple[int, ...]) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(1, channels, *size))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] == self.embedding.shape[2:]:
            return x + self.embedding
        return x + resize(self.embedding, x.shape[2:])


class Encoder(nn.Module):
    """Stem, then a stage for each entry of `stages`: a strided convolution (not in the first) and the blocks.

    Maps `(B, C_in, *S)` to the output of every stage, highest resolution first.
    """

    def __init__(
        self,
        input_channels: int,
        stages: list[Stage],
        strides: list[tuple[int, ...]],
        n_blocks: list[int],
        position_size: tuple[int, ...] | None,
    ) -> None:
        super().__init__()
        first = stages[0]
        self.output_channels = [stage.channels for stage in stages]  # as nnU-Net's encoders call it
        self.strides = strides  # so, too
        self.stem = first.conv_op(input_channels, first.channels, 3, stride=strides[0], padding=1, bias=False)
        self.downsamplings = nn.ModuleList(
            _downsampling(above, below, stride)
            for above, below, stride in zip(stages, stages[1:], strides[1:], strict=False)
        )
        self.position_embedding = None
        if position_size is not None:
            self.position_embedding = PositionEmbedding(stages[-1].channels, position_size)
        self.stages = nn.ModuleList(
            nn.Sequential(*(stage.block() for _ in range(n))) for stage, n in zip(stages, n_blocks, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stages[0](self.stem(x))
        outputs = [x]
        for level, (downsampling, stage) in enumerate(zip(self.downsamplings, self.stages[1:], strict=True), start=1):
            x = downsampling(x)
            if self.position_embedding is not None and level == len(self.downsamplings):
                x = self.position_embedding(x)
            x = stage(x)
            outputs.append(x)
        return outputs


class Decoder(nn.Module):
    """From the bottleneck up: transposed convolution, concatenation with the skip, pointwise linear, blocks, head.

    Submodules are in the order of computation, lowest resolution first, as in nnU-Net's own decoders.
    """

    def __init__(
        self,
        num_classes: int,
        stages: list[Stage],
        strides: list[tuple[int, ...]],
        n_blocks: list[int],
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        conv_op = stages[0].conv_op
        transposed = TRANSPOSED[conv_op]
        upwards = stages[-2::-1]
        self.recompute = [stage.recompute for stage in upwards]
        self.upsamplings = nn.ModuleList(
            transposed(below.channels, above.channels, stride, stride=stride)
            for below, above, stride in zip(stages[:0:-1], upwards, strides[:0:-1], strict=True)
        )
        self.adapters = nn.ModuleList(_adapter(stage) for stage in upwards)
        self.stages = nn.ModuleList(_joining_blocks(stage, n) for stage, n in zip(upwards, n_blocks, strict=True))
        self.seg_layers = nn.ModuleList(conv_op(stage.channels, num_classes, 1) for stage in upwards)
        self.merges = [
            Recomputed(self, "_merge_rows", (f"upsamplings.{i}", f"adapters.{i}"), i) for i in range(len(upwards))
        ]

    def forward(self, outputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Logits of the highest resolution, or with deep supervision those of every stage, highest first."""
        return self.consume(list(outputs))

    def consume(self, outputs: list[Tensor]) -> Tensor | list[Tensor]:
        """As `forward`, but takes the outputs of the encoder out of the list: each is freed when it has been used."""
        x = outputs.pop()
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(self._join(index, outputs.pop(), x))
            features.append(x)
        if not self.deep_supervision:
            return self.seg_layers[-1](x)
        return [head(x) for head, x in zip(self.seg_layers, features, strict=True)][::-1]

    def _join(self, index: int, skip: Tensor, low: Tensor) -> Tensor:
        if isinstance(self.adapters[index], nn.Identity):
            return torch.cat([skip, self.upsamplings[index](low)], dim=1)
        merge = self.merges[index]
        return self._merge(merge if self.recompute[index] else merge.function, skip, low)

    def _merge(self, merge: Rows, skip: Tensor, low: Tensor) -> Tensor:
        """A row is a slice of the low resolution, across the first spatial axis."""
        stride = skip.shape[2] // low.shape[2]
        skip, low = skip.movedim(1, -1), low.movedim(1, -1)
        merged = merge(skip.flatten(0, 1).unflatten(0, (-1, stride)), low.flatten(0, 1))
        return merged.view(skip.shape).movedim(-1, 1)

    def _merge_rows(self, skip: Tensor, low: Tensor, index: int) -> Tensor:
        """The adapter applied to skip and upsampled features side by side, which are never in memory side by side.

        On `(rows, stride, ..., C)` and `(rows, ..., C_low)`.
        """
        upsampling, adapter = self.upsamplings[index], self.adapters[index]
        of_skip, of_low = adapter.get_parameter("weight").chunk(2, dim=1)
        return add_upsampled(functional.linear(skip, of_skip), low, upsampling, of_low)


class UShape(nn.Module):
    """A segmentation network for nnU-Net, made of stages: `(B, input_channels, *S)` to logits `(B, num_classes, *S)`.

    Args:
        input_channels: image channels.
        num_classes: output channels.
        stages: highest resolution first, at least 2.
        strides: of each stage with respect to the one before it, one number an axis.
        n_blocks: of each encoder stage.
        n_blocks_decoder: of each decoder stage, lowest resolution first.
        position_size: vectors an axis of a position embedding, added after the last downsampling; None: there is none.
        deep_supervision: return the logits of each decoder stage, highest resolution first, in place of one tensor.
    """

    key_to_encoder = "encoder"
    key_to_stem = "encoder.stem"
    keys_to_in_proj = ("encoder.stem",)

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        stages: list[Stage],
        strides: list[tuple[int, ...]],
        n_blocks: list[int],
        n_blocks_decoder: list[int],
        position_size: tuple[int, ...] | None,
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(input_channels, stages, strides, n_blocks, position_size)
        self.decoder = Decoder(num_classes, stages, strides, n_blocks_decoder, deep_supervision)
        self.key_to_lpe = None if position_size is None else "encoder.position_embedding.embedding"
        self._input_channels = input_channels
        self._strides = strides

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self._check_size(x)
        return self.decoder.consume(self.encoder(x))

    @staticmethod
    def initialize(module: nn.Module) -> None:
        """What nnU-Net applies to each module of a new network: nothing, PyTorch's own initialisation is kept."""

    def compute_conv_feature_map_size(self, input_size: Sequence[int]) -> int:
        """The memory kept for the backward pass in the unit of nnU-Net's planner; `input_size` is the patch in voxels.

        nnU-Net counts the outputs of convolutions. For each of them its `PlainConvUNet` keeps 2 numbers.
        """
        return step_memory(self, (1, self._input_channels, *input_size)).kept // BYTES_PER_UNIT

    def _channels_last(self) -> None:
        """For layers that work on the channels of a voxel: with these neighbours in memory nothing is copied."""
        self.to(memory_format=torch.channels_last_3d if len(self._strides[0]) == 3 else torch.channels_last)

    def _check_size(self, x: Tensor) -> None:
        total = [prod(axis) for axis in zip(*self._strides, strict=True)]
        if x.ndim != len(total) + 2 or any(s % t for s, t in zip(x.shape[2:], total, strict=True)):
            raise ValueError(
                f"the input must be (B, C, *S) with {len(total)} spatial axes, divisible by {total} (the product of "
                f"the strides), got {tuple(x.shape)}. Pad it."
            )


def _adapter(stage: Stage) -> nn.Module:
    if stage.joining_block is not None:
        return nn.Identity()
    return PointwiseLinear(2 * stage.channels, stage.channels, bias=False)


def _joining_blocks(stage: Stage, number: int) -> nn.Sequential:
    first = stage.joining_block or stage.block
    return nn.Sequential(first(), *(stage.block() for _ in range(number - 1)))


def _downsampling(above: Stage, below: Stage, stride: tuple[int, ...]) -> nn.Module:
    if below.downsampling == "separable":
        return SeparableDownsampling(below.conv_op, above.channels, below.channels, stride)
    return below.conv_op(above.channels, below.channels, stride, stride=stride)
