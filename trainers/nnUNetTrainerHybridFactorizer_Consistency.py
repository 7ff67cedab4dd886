"""Hybrid Factorizer for any plans, trained with Muon to predict the same under another contrast or stain."""

from nnunetv2_factorizer.adaptation.objectives import Consistency, JitterAlone
from nnunetv2_factorizer.adaptation.with_objective import WithObjective
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe


class nnUNetTrainerHybridFactorizer_Consistency(WithObjective, FamilyTrainer, MuonRecipe):
    """250 epochs."""

    family = FACTORIZER
    choices = FACTORIZER.variants["Hybrid"]
    objective = Consistency


class nnUNetTrainerHybridFactorizer_ConsistencyJitterAlone(nnUNetTrainerHybridFactorizer_Consistency):
    """The control: both looks are trained on, and nothing compares them."""

    objective = JitterAlone
