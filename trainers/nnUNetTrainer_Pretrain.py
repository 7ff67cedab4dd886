"""The architecture that the plans name, nnU-Net's own for example, pre-trained without labels."""

from nnunetv2_factorizer.pretraining.tasks import Comparative, Contrastive, MaskedReconstruction, SimMIM
from nnunetv2_factorizer.pretraining.trainer import Pretraining
from nnunetv2_factorizer.training import MuonRecipe


class nnUNetTrainer_PretrainMAE(Pretraining, MuonRecipe):
    task = MaskedReconstruction


class nnUNetTrainer_PretrainSimMIM(Pretraining, MuonRecipe):
    task = SimMIM


class nnUNetTrainer_PretrainComparative(Pretraining, MuonRecipe):
    task = Comparative


class nnUNetTrainer_PretrainContrastive(Pretraining, MuonRecipe):
    task = Contrastive
