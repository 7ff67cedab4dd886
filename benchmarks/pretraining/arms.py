"""The arms that are compared: what a network has seen before it sees labels."""

from dataclasses import dataclass

from nnunetv2_factorizer.pretraining.task import Task
from nnunetv2_factorizer.pretraining.tasks import (
    POPAR,
    Comparative,
    Contrastive,
    MaskedReconstruction,
    United,
    UnitedDR,
    UnitedJoint,
)


@dataclass(frozen=True)
class Stage:
    """One pre-training: a task on images."""

    task: type[Task]
    images: str = "own"
    """`"own"`: those of the training cases; `"foreign"`: generated phantoms; `"noise"`: of the size of the own ones."""


@dataclass(frozen=True)
class Arm:
    """Pre-trainings, one continued by the next, before the fine-tuning; none: from scratch."""

    stages: tuple[Stage, ...] = ()
    longer: bool = False
    """Whether the iterations of one pre-training are added to the training with labels."""
    lr_share: float = 0.1
    """Of the recipe's learning rates, where weights are pre-trained."""


MAE = MaskedReconstruction
ARMS = {
    "scratch": Arm(),
    "scratch, longer": Arm(longer=True),
    "MAE": Arm((Stage(MAE),)),
    "MAE, full rate": Arm((Stage(MAE),), lr_share=1.0),
    "MAE, twice the rate": Arm((Stage(MAE),), lr_share=2.0),
    "MAE of noise, full rate": Arm((Stage(MAE, "noise"),), lr_share=1.0),
    "comparative, full rate": Arm((Stage(Comparative),), lr_share=1.0),
    "contrastive, full rate": Arm((Stage(Contrastive),), lr_share=1.0),
    "United D+R, full rate": Arm((Stage(UnitedDR),), lr_share=1.0),
    "United D+R+A, full rate": Arm((Stage(United),), lr_share=1.0),
    "United D+R+A at once, full rate": Arm((Stage(UnitedJoint),), lr_share=1.0),
    "POPAR, full rate": Arm((Stage(POPAR),), lr_share=1.0),
    "chain of MAE, full rate": Arm((Stage(MAE, "foreign"), Stage(MAE)), lr_share=1.0),
}
