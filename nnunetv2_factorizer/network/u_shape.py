"""The two halves of the U: an encoder that halves the resolution stage by stage, a decoder that restores it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.factorization import resize
from nnunetv2_factorizer.network.block import FactorizerBlock
from nnunetv2_factorizer.network.chunks import Rows
from nnunetv2_factorizer.network.convolution import ConvolutionBlock, SeparableDownsampling
from nnunetv2_factorizer.network.layers import PointwiseLinear
from nnunetv2_factorizer.network.recompute import Recomputed
from nnunetv2_factorizer.network.settings import TRANSPOSED, BlockSettings
from nnunetv2_factorizer.network.upsampling import add_upsampled


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
        stages: list[BlockSettings],
        strides: list[tuple[int, ...]],
        n_blocks: list[int],
        position_size: tuple[int, ...] | None,
        downsampling: str,
    ) -> None:
        super().__init__()
        first = stages[0]
        self.output_channels = [stage.channels for stage in stages]  # as nnU-Net's encoders call it
        self.stem = first.conv_op(input_channels, first.channels, 3, stride=strides[0], padding=1, bias=False)
        self.downsamplings = nn.ModuleList(
            _downsampling(downsampling, above, below, stride)
            for above, below, stride in zip(stages, stages[1:], strides[1:], strict=False)
        )
        self.position_embedding = None
        if position_size is not None:
            self.position_embedding = PositionEmbedding(stages[-1].channels, position_size)
        self.stages = nn.ModuleList(_blocks(stage, n) for stage, n in zip(stages, n_blocks, strict=True))

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
        stages: list[BlockSettings],
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
        self.adapters = nn.ModuleList(PointwiseLinear(2 * s.channels, s.channels, bias=False) for s in upwards)
        self.stages = nn.ModuleList(_blocks(stage, n) for stage, n in zip(upwards, n_blocks, strict=True))
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
        for stage, merge, recompute in zip(self.stages, self.merges, self.recompute, strict=True):
            x = stage(self._merge(merge if recompute else merge.function, outputs.pop(), x))
            features.append(x)
        if not self.deep_supervision:
            return self.seg_layers[-1](x)
        return [head(x) for head, x in zip(self.seg_layers, features, strict=True)][::-1]

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


def _blocks(settings: BlockSettings, number: int) -> nn.Sequential:
    block = ConvolutionBlock if settings.convolution else FactorizerBlock
    return nn.Sequential(*(block(settings) for _ in range(number)))


def _downsampling(kind: str, above: BlockSettings, below: BlockSettings, stride: tuple[int, ...]) -> nn.Module:
    """Between convolutions, which overlap themselves, it is the paper's: a convolution as wide as its stride."""
    if kind == "separable" and not below.convolution:
        return SeparableDownsampling(below.conv_op, above.channels, below.channels, stride)
    return below.conv_op(above.channels, below.channels, stride, stride=stride)
