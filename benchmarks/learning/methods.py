"""What is compared: a network and its recipe, as a trainer of nnU-Net."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import nn

from benchmarks.learning.candidates import CANDIDATES, Candidate
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import FamilyTrainer
from nnunetv2_factorizer.training.recipes import MuonRecipe
from trainers.nnUNetTrainerMuon import nnUNetTrainerMuon


@dataclass(frozen=True)
class Method:
    """A trainer's class, made when it is asked for, and the planner of its network."""

    trainer: Callable[[], type[nnUNetTrainer]]
    planner: str = "nnUNetPlanner"
    mirroring: bool = True
    """In the validation at the end, as nnU-Net does; the search saves its eightfold time."""


def factorizer(variant: str, recipe: type = MuonRecipe) -> type[nnUNetTrainer]:
    attributes = {"family": FACTORIZER, "choices": FACTORIZER.variants[variant]}
    return type(f"nnUNetTrainer{variant}", (FamilyTrainer, recipe), attributes)


def searched(candidate: Candidate) -> type[nnUNetTrainer]:
    class nnUNetTrainerSearch(FamilyTrainer, MuonRecipe):
        family = FACTORIZER
        choices: ClassVar[Mapping[str, Any]] = {**FACTORIZER.variants["Conv"], **candidate.choices}

        @classmethod
        def build(cls, *arguments: Any) -> nn.Module:
            network: Any = super().build(*arguments)
            candidate.change(network)
            return network

    return nnUNetTrainerSearch


METHODS = {
    "nnU-Net": Method(lambda: nnUNetTrainer),
    "nnU-Net + Muon": Method(lambda: nnUNetTrainerMuon),
    "Conv + Muon": Method(lambda: factorizer("Conv")),
    "Swin + Muon": Method(lambda: factorizer("Swin")),
    "search: nnU-Net": Method(lambda: nnUNetTrainerMuon, mirroring=False),
    **{f"search: {name}": Method(partial(searched, c), mirroring=False) for name, c in CANDIDATES.items()},
}
