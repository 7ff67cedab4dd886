"""What could make a Conv Factorizer learn faster: one change at a time, made on the built network.

What paid became the Hybrid variant; the rest lives here only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.network.convolution import SLOPE, separable_downsampling
from nnunetv2_factorizer.training import MuonRecipe
from nnunetv2_factorizer.training.optimizers import Muon, muon_groups


class Residual(nn.Module):
    """`number` dense convolutions over 3 voxels an axis, each normalised over space, around them a skip connection."""

    def __init__(self, channels: int, number: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv3d(channels, channels, 3, padding=1, bias=False) for _ in range(number))
        self.norms = nn.ModuleList(nn.InstanceNorm3d(channels, affine=True) for _ in range(number))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y))
            if i < len(self.convs) - 1:
                y = functional.leaky_relu(y, SLOPE)
        return functional.leaky_relu(x + y, SLOPE)


class Normalised(nn.Module):
    """A local path whose output is normalised over space."""

    def __init__(self, local_path: nn.Module, channels: int) -> None:
        super().__init__()
        self.local_path, self.norm = local_path, nn.InstanceNorm3d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.norm(self.local_path(x)), SLOPE)


def dense(stages: int, number: int) -> Callable[[Factorizer], None]:
    """A residual block of `number` convolutions in place of each Factorizer block of the highest resolutions."""

    def change(network: Any) -> None:
        for level in range(stages):
            for half, index in ((network.encoder, level), (network.decoder, -1 - level)):
                channels = half.stages[index][0].norm1.normalized_shape[0]
                half.stages[index] = nn.Sequential(Residual(channels, number))

    return change


def normalised(network: Any) -> None:
    for block in network.blocks.values():
        if block.local_path is not None:
            block.local_path = Normalised(block.local_path, block.norm1.normalized_shape[0])


def separable(network: Any) -> None:
    """Overlapping downsampling, also where convolutions are below."""
    for i, conv in enumerate(network.encoder.downsamplings):
        layer = separable_downsampling(nn.Conv3d, conv.in_channels, conv.out_channels, conv.stride)
        network.encoder.downsamplings[i] = layer


def both(*changes: Callable[[Factorizer], None]) -> Callable[[Factorizer], None]:
    def change(network: Factorizer) -> None:
        for one in changes:
            one(network)

    return change


def momentum(value: float) -> Callable[[MuonRecipe, float], Muon]:
    def make_optimizer(trainer: MuonRecipe, lr: float) -> Muon:
        groups = muon_groups(trainer.network, lr, trainer.adamw_lr)
        return Muon(groups, weight_decay=trainer.weight_decay, momentum=value)

    return make_optimizer


@dataclass(frozen=True)
class Candidate:
    """Arguments of the network beside those of Conv, what is changed after it was built, attributes of the recipe."""

    choices: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[Factorizer], None] = lambda network: None
    recipe: Mapping[str, Any] = field(default_factory=dict)


HYBRID = FACTORIZER.variants["Hybrid"]

CANDIDATES = {
    "hybrid": Candidate(HYBRID),
    "hybrid without NMF": Candidate({**HYBRID, "nmf": False}),
    "hybrid, deep": Candidate({**HYBRID, "n_blocks_per_stage": [1, 1, 2, 2]}),
    "hybrid, normalised": Candidate(HYBRID, normalised),
    "hybrid, one stage": Candidate({**HYBRID, "convolution_stages": 1}),
    "hybrid, patches": Candidate({**HYBRID, "downsampling": "patch"}),
    "hybrid, position": Candidate({**HYBRID, "position_embedding": True, "position_grid": 8}),
    "hybrid, MLP ratio 4": Candidate({**HYBRID, "mlp_ratio": 4}),
    "hybrid, rate x 2": Candidate(HYBRID, recipe={"initial_lr": 0.025, "adamw_lr": 6e-3}),
    "hybrid, rate x 0.5": Candidate(HYBRID, recipe={"initial_lr": 0.00625, "adamw_lr": 1.5e-3}),
    "hybrid, AdamW x 3": Candidate(HYBRID, recipe={"adamw_lr": 1e-2}),
    "hybrid, weight decay 0.1": Candidate(HYBRID, recipe={"weight_decay": 0.1}),
    "hybrid, momentum 0.9": Candidate(HYBRID, recipe={"make_optimizer": momentum(0.9)}),
    "hybrid, warm-up 20 %": Candidate(HYBRID, recipe={"warmup": 0.2}),
    "Conv": Candidate(),
    "Conv, no position": Candidate({"position_embedding": False}),
    "Conv, normalised": Candidate({}, normalised),
    "Conv, separable": Candidate({}, separable),
    "Conv, dense 0x2": Candidate({}, dense(1, 2)),
    "Conv, dense 01x2": Candidate({}, dense(2, 2)),
    "dense 01x2 separable": Candidate({"position_embedding": False}, both(dense(2, 2), separable)),
    "dense 01x1 separable": Candidate({"position_embedding": False}, both(dense(2, 1), separable)),
}
