"""A small network that does all that nnU-Net asks for, and copies of it that do one thing wrong each. 2D only."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Decoder(nn.Module):
    def __init__(self, features: list[int], strides: list[list[int]], num_classes: int, deep_supervision: bool) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        levels = list(zip(features[:0:-1], features[-2::-1], strides[:0:-1], strict=True))
        self.upsamplings = nn.ModuleList(nn.ConvTranspose2d(below, above, s, s) for below, above, s in levels)
        self.seg_layers = nn.ModuleList(nn.Conv2d(above, num_classes, 1) for _, above, _ in levels)

    def forward(self, skips: list[Tensor]) -> Tensor | list[Tensor]:
        x, results = skips[-1], []
        for upsampling, head, skip in zip(self.upsamplings, self.seg_layers, skips[-2::-1], strict=True):
            x = torch.relu(upsampling(x) + skip)
            results.append(head(x))
        return results[::-1] if self.deep_supervision else results[-1]


class Good(nn.Module):
    key_to_encoder = "encoder"
    key_to_stem = "encoder.0"
    keys_to_in_proj: Any = ("encoder.0",)

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        features_per_stage: list[int],
        strides: list[list[int]],
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        self.features, self.strides = features_per_stage, strides
        self.encoder = nn.ModuleList(
            nn.Conv2d(above, below, 3, stride, 1, bias=False)
            for above, below, stride in zip(
                [input_channels, *features_per_stage[:-1]], features_per_stage, strides, strict=True
            )
        )
        self.decoder = Decoder(features_per_stage, strides, num_classes, deep_supervision)

    def forward(self, x: Tensor) -> Any:
        skips = []
        for convolution in self.encoder:
            x = torch.relu(convolution(x))
            skips.append(x)
        skips[-1] = self.bottleneck(skips[-1])
        return self.decode(skips)

    def decode(self, skips: list[Tensor]) -> Any:
        return self.decoder(skips)

    def bottleneck(self, x: Tensor) -> Tensor:
        return x

    @staticmethod
    def initialize(module: nn.Module) -> None:
        pass

    def compute_conv_feature_map_size(self, input_size: list[int]) -> int:
        total, voxels = 0, prod(input_size)
        for features, stride in zip(self.features, self.strides, strict=True):
            voxels //= prod(stride)
            total += 2 * features * voxels
        return total


class TakesNoStrides(Good):
    def __init__(
        self, input_channels: int, num_classes: int, features_per_stage: list[int], deep_supervision: bool = False
    ) -> None:
        super().__init__(input_channels, num_classes, features_per_stage, [[1, 1], [2, 2], [2, 2]], deep_supervision)


class WantsTuples(Good):
    def __init__(self, strides: Any, **kwargs: Any) -> None:
        super().__init__(strides=strides, **kwargs)
        self.kinds_of_strides = set(strides)


class WantsMore(Good):
    def __init__(self, embed_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class TakesNoDeepSupervision(Good):
    def __init__(
        self, input_channels: int, num_classes: int, features_per_stage: list[int], strides: list[list[int]]
    ) -> None:
        super().__init__(input_channels, num_classes, features_per_stage, strides)


class HasNoDecoder(Good):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.upwards = self.decoder
        del self.decoder

    def decode(self, skips: list[Tensor]) -> Any:
        return self.upwards(skips)


class FixedAtConstruction(Good):
    def __init__(self, deep_supervision: bool = False, **kwargs: Any) -> None:
        super().__init__(deep_supervision=deep_supervision, **kwargs)
        self.fixed = deep_supervision

    def forward(self, x: Tensor) -> Any:
        self.decoder.deep_supervision = self.fixed
        return super().forward(x)


class StartsWithoutDeepSupervision(Good):
    def __init__(self, deep_supervision: bool = False, **kwargs: Any) -> None:
        super().__init__(deep_supervision=False, **kwargs)


class HeadsElsewhere(Good):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.decoder.heads = self.decoder.seg_layers
        del self.decoder.seg_layers
        self.decoder.__dict__["seg_layers"] = list(self.decoder.heads)


class HeadTooMany(Good):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.decoder.seg_layers.append(nn.Conv2d(8, 3, 1))

    def forward(self, x: Tensor) -> Any:
        last = self.decoder.seg_layers[-1]
        del self.decoder.seg_layers[-1]
        try:
            return super().forward(x)
        finally:
            self.decoder.seg_layers.append(last)


def after(function: Callable[[Tensor], Tensor]) -> Any:
    def forward(self: Good, x: Tensor) -> Any:
        results = Good.forward(self, x)
        return [function(r) for r in results] if isinstance(results, list) else function(results)

    return forward


class Softmax(Good):
    forward = after(lambda logits: logits.softmax(1))


class ReLUAtTheEnd(Good):
    forward = after(torch.relu)


class BoundInitialize(Good):
    def initialize(self, module: nn.Module) -> None:  # type: ignore[override]
        pass


class UninitialisedParameter(Good):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = nn.Parameter(torch.full((1,), torch.nan))


class EncoderNamedWrongly(Good):
    key_to_encoder = "encoders"


class PositionIsAModule(Good):
    key_to_lpe = "encoder"


class InProjWithoutChannels(Good):
    keys_to_in_proj = ("encoder.1",)


class InProjIsAString(Good):
    keys_to_in_proj = "encoder.0"


class ForgetsAHead(Good):
    def forward(self, x: Tensor) -> Any:
        results = super().forward(x)
        return results[:1] if isinstance(results, list) else results


class LowestResolutionFirst(Good):
    def forward(self, x: Tensor) -> Any:
        results = super().forward(x)
        return results[::-1] if isinstance(results, list) else results


class SqueezesTheBatch(Good):
    forward = after(lambda logits: logits.squeeze(0))


class NeedsEvenSizes(Good):
    def bottleneck(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (-1, 2)).flatten(2, 3)


class ChangesItsInput(Good):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x.div_(2))


class AlwaysDropsOut(Good):
    def bottleneck(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, training=True)


class SeedsInForward(Good):
    def forward(self, x: Tensor) -> Any:
        torch.manual_seed(0)
        return super().forward(x)


class SeedsInConstructor(Good):
    def __init__(self, **kwargs: Any) -> None:
        np.random.seed(0)
        super().__init__(**kwargs)


class DividesByZero(Good):
    def bottleneck(self, x: Tensor) -> Tensor:
        return x / x.square().mean()


class EpsilonTooSmallForFloat16(Good):
    def bottleneck(self, x: Tensor) -> Tensor:
        return x / (x.square().mean() + 1e-8)


class OverflowsInFloat16(Good):
    def bottleneck(self, x: Tensor) -> Tensor:
        return x + 1e-3 * x.square()


class ThinksOfZeroAlone(Good):
    def bottleneck(self, x: Tensor) -> Tensor:
        return x / x.square().mean().sqrt() if x.any() else x


class RootOfZero(Good):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mixing = nn.Conv2d(32, 32, 1, bias=False)

    def bottleneck(self, x: Tensor) -> Tensor:
        return x + self.mixing(x).float().square().sum().sqrt()


class UnusedParameter(Good):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spare = nn.Linear(2, 2)


class UnregisteredTensor(Good):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.embedding = torch.randn(32, 1, 1)

    def bottleneck(self, x: Tensor) -> Tensor:
        return x + self.embedding


class ParameterForDeepSupervision(Good):
    def __init__(self, deep_supervision: bool = False, **kwargs: Any) -> None:
        super().__init__(deep_supervision=deep_supervision, **kwargs)
        self.weight = nn.Parameter(torch.ones(1)) if deep_supervision else 1.0

    def bottleneck(self, x: Tensor) -> Tensor:
        return x * self.weight


class ClassesOutsideTheHeads(Good):
    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(num_classes=num_classes, **kwargs)
        self.classes = nn.Parameter(torch.ones(num_classes))

    def bottleneck(self, x: Tensor) -> Tensor:
        return x * self.classes.mean()


class ConstantEstimate(Good):
    def compute_conv_feature_map_size(self, input_size: list[int]) -> int:
        return 1000


class NoEstimate(Good):
    compute_conv_feature_map_size = None  # type: ignore[assignment]


class DiffersCompiled(Good):
    def bottleneck(self, x: Tensor) -> Tensor:
        return 2 * x if torch.compiler.is_dynamo_compiling() else x


class BranchesOnValues(Good):
    def bottleneck(self, x: Tensor) -> Tensor:
        return x if x.mean() > 0 else -x
