"""Trained on scanner A alone: how well are images of scanners segmented that no training has seen?"""

from collections.abc import Callable
from typing import Any

from benchmarks.learning.data import prepare
from benchmarks.learning.methods import METHODS
from benchmarks.training_for_scanners.data import PLANNED
from benchmarks.training_for_scanners.training import on_scanners, predictor, result, train
from nnunetv2_factorizer.trainers.nnUNetTrainer_Consistency import (
    nnUNetTrainer_Consistency,
    nnUNetTrainer_ConsistencyJitterAlone,
)
from nnunetv2_factorizer.trainers.nnUNetTrainerHybridFactorizer_Consistency import (
    nnUNetTrainerHybridFactorizer_Consistency,
)

ITERATIONS = 250
ARMS: dict[str, Callable[[], type]] = {
    "Muon": METHODS["nnU-Net + Muon"].trainer,
    "DA5": METHODS["nnU-Net DA5 + Muon"].trainer,
    "Consistency": lambda: nnUNetTrainer_Consistency,
    "jitter alone": lambda: nnUNetTrainer_ConsistencyJitterAlone,
    "Hybrid: Muon": METHODS["Hybrid + Muon"].trainer,
    "Hybrid: Consistency": lambda: nnUNetTrainerHybridFactorizer_Consistency,
}


def prepare_data(_: list[str]) -> None:
    prepare(PLANNED)


def run(arm: str, iterations: int, seed: int) -> dict[str, Any]:
    trainer = train(f"unseen {arm}", (ARMS[arm](),), *prepare(PLANNED), iterations, seed)
    return result(trainer, on_scanners(predictor(trainer)))
