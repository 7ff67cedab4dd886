"""The architecture that the plans name, nnU-Net's own for example, pre-trained without labels."""

from nnunetv2_factorizer.pretraining.tasks import (
    MaskedReconstruction,
    SimMIM,
    United,
    UnitedD,
    UnitedDR,
    UnitedJoint,
    UnitedRotation,
    UnitedRubik,
)
from nnunetv2_factorizer.pretraining.trainer import Pretraining
from nnunetv2_factorizer.training import MuonRecipe


class nnUNetTrainer_PretrainMAE(Pretraining, MuonRecipe):
    task = MaskedReconstruction


class nnUNetTrainer_PretrainSimMIM(Pretraining, MuonRecipe):
    task = SimMIM


class nnUNetTrainer_PretrainUnitedD(Pretraining, MuonRecipe):
    task = UnitedD


class nnUNetTrainer_PretrainUnitedDR(Pretraining, MuonRecipe):
    task = UnitedDR


class nnUNetTrainer_PretrainUnitedDRA(Pretraining, MuonRecipe):
    task = United


class nnUNetTrainer_PretrainUnitedJoint(Pretraining, MuonRecipe):
    task = UnitedJoint


class nnUNetTrainer_PretrainUnitedRotation(Pretraining, MuonRecipe):
    task = UnitedRotation


class nnUNetTrainer_PretrainUnitedRubik(Pretraining, MuonRecipe):
    task = UnitedRubik
