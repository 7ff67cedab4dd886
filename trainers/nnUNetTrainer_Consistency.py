"""The architecture that the plans name, trained with Muon to predict the same under another contrast or stain."""

from nnunetv2_factorizer.adaptation.objectives import Consistency, JitterAlone
from nnunetv2_factorizer.adaptation.with_objective import WithObjective
from nnunetv2_factorizer.training import MuonRecipe


class nnUNetTrainer_Consistency(WithObjective, MuonRecipe):
    """250 epochs; the network comes from the plans."""

    objective = Consistency


class nnUNetTrainer_ConsistencyJitterAlone(nnUNetTrainer_Consistency):
    """The control: both looks are trained on, and nothing compares them."""

    objective = JitterAlone
