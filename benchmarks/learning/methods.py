"""What is compared: a network and its recipe, as a trainer of nnU-Net."""

from collections.abc import Callable
from dataclasses import dataclass

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import FamilyTrainer
from nnunetv2_factorizer.training.recipes import MuonRecipe
from trainers.nnUNetTrainerMuon import nnUNetTrainerMuon


@dataclass(frozen=True)
class Method:
    """A trainer's class, made when it is asked for, and the planner of its network."""

    trainer: Callable[[], type[nnUNetTrainer]]
    planner: str = "nnUNetPlanner"


def factorizer(variant: str, recipe: type = MuonRecipe) -> type[nnUNetTrainer]:
    attributes = {"family": FACTORIZER, "choices": FACTORIZER.variants[variant]}
    return type(f"nnUNetTrainer{variant}", (FamilyTrainer, recipe), attributes)


METHODS = {
    "nnU-Net": Method(lambda: nnUNetTrainer),
    "nnU-Net + Muon": Method(lambda: nnUNetTrainerMuon),
    "Conv + Muon": Method(lambda: factorizer("Conv")),
    "Swin + Muon": Method(lambda: factorizer("Swin")),
}
