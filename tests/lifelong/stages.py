"""Stages without a network: features as numbers, and pools of files in place of checkpoints."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnunetv2_factorizer.inference.preprocessed_cases import FoldCases
from nnunetv2_factorizer.lifelong.pool import CHECKPOINT, Member, Model, Pool, Stage
from nnunetv2_factorizer.lifelong.seen import Features, Seen, see
from nnunetv2_factorizer.lifelong.stage import StageData

NAMES = [f"case_{number:02d}" for number in range(25)]
CASES = FoldCases(None, NAMES[:20], NAMES[20:])  # type: ignore[arg-type]


def features(seed: int, shift: float = 0.0) -> Features:
    """Of 25 cases, six numbers each; a shift of 1 is the spread of the cases."""
    rng = np.random.default_rng(seed)
    return {name: shift + rng.normal(size=6) for name in NAMES}


def training(of: Features) -> list[np.ndarray]:
    return [of[name] for name in CASES.train]


def seen(*stages: Features) -> list[Seen]:
    """The entries of stages, one after the other."""
    entries: list[Seen] = []
    for stage in stages:
        entries.append(see(stage, CASES, entries))
    return entries


def write_model(pool: Path, dataset: str, content: bytes = b"weights") -> Model:
    folder = pool / "models" / dataset / "nnUNetTrainer_LifelongODEx__nnUNetPlans__3d_fullres"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "fold_0" / CHECKPOINT).write_bytes(content)
    return Model.of(pool, folder, "0")


def write_pool(folder: Path, histories: Sequence[tuple[int, ...]] = ((0,), (0, 1)), how: str = "min") -> Pool:
    """A pool of two stages far from each other, with a model for each member."""
    names = ("Dataset001_A", "Dataset002_B")
    models = [write_model(folder, name, name.encode()) for name in names]
    entries = seen(features(0), features(1, shift=8))
    stages = [Stage(StageData(n, "nnUNetPlans", "0"), e) for n, e in zip(names, entries, strict=True)]
    members = tuple(Member(models[history[-1]], history) for history in histories)
    pool = Pool("odex", how, "3d_fullres", "nnUNetTrainer_Lifelong", {}, models[0], tuple(stages), members)
    pool.save(folder)
    return pool
