"""The trainers of objectives as nnU-Net finds them."""

from importlib import import_module

import pytest

from nnunetv2_factorizer.adaptation.objectives import OBJECTIVES, JitterAlone, RandomMatching
from nnunetv2_factorizer.adaptation.trainer import Adapting
from nnunetv2_factorizer.adaptation.with_objective import WithObjective
from nnunetv2_factorizer.families import FACTORIZER
from tests.training.test_trainers import find


@pytest.mark.parametrize("family", ["", "HybridFactorizer"])
def test_found_by_name(family: str) -> None:
    assert find(f"nnUNetTrainer{family}_UnlearnTABE").objective.__name__ == "TABE"
    trainers = {}
    for module in ("Consistency", "Unlearn", "AIVA"):
        trainers |= vars(import_module(f"nnunetv2_factorizer.trainers.nnUNetTrainer{family}_{module}"))
    for name in ("Consistency", "UnlearnLNTL", "UnlearnTABE", "UnlearnCLGR", "AIVA"):
        trainer = trainers[f"nnUNetTrainer{family}_{name}"]
        assert trainer.objective is OBJECTIVES[name.removeprefix("Unlearn").lower()]
        assert issubclass(trainer, WithObjective)
        adapts = name == "AIVA"
        assert issubclass(trainer, Adapting) is adapts
        assert trainer.num_epochs == (50 if adapts else 250)
        assert not family or trainer.choices is FACTORIZER.variants["Hybrid"]
    assert trainers[f"nnUNetTrainer{family}_ConsistencyJitterAlone"].objective is JitterAlone
    assert trainers[f"nnUNetTrainer{family}_AIVARandomMatching"].objective is RandomMatching
