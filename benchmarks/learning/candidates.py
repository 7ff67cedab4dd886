"""What could make a Factorizer learn faster: one change at a time, of the network or of Muon's settings.

What paid became the Hybrid variant and the settings of `MuonRecipe`; the rest lives here only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.learning.changes import (
    both,
    dense,
    normalised,
    response_norm,
    scaled,
    separable,
    stochastic_depth,
)
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.training import MuonRecipe
from nnunetv2_factorizer.training.optimizers import Muon, muon_groups


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
    "hybrid, rank 2": Candidate({**HYBRID, "rank": 2}),
    "hybrid, windows of 4": Candidate({**HYBRID, "window_size": 4}),
    "hybrid, windows 4, heads 4": Candidate({**HYBRID, "window_size": 4, "head_dim": 4}),
    "hybrid, heads of 16": Candidate({**HYBRID, "head_dim": 16}),
    "hybrid, LayerScale 0.1": Candidate(HYBRID, scaled(0.1)),
    "hybrid, stochastic depth 0.1": Candidate(HYBRID, stochastic_depth(0.1)),
    "hybrid, GRN": Candidate(HYBRID, response_norm),
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
