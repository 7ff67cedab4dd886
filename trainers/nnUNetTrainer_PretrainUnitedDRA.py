"""Pre-training without labels: a puzzle, then restoration, then an adversary; see docs/pretraining.md."""

from nnunetv2_factorizer.pretraining import networks
from nnunetv2_factorizer.pretraining.tasks import United, UnitedD, UnitedDR, UnitedJoint, UnitedRotation, UnitedRubik


class nnUNetTrainer_PretrainUnitedDRA(networks.OfThePlans):
    task = United


class nnUNetTrainerHybridFactorizer_PretrainUnitedDRA(networks.HybridFactorizer):
    task = United


class nnUNetTrainerConvFactorizer_PretrainUnitedDRA(networks.ConvFactorizer):
    task = United


class nnUNetTrainerSwinFactorizer_PretrainUnitedDRA(networks.SwinFactorizer):
    task = United


class nnUNetTrainer_PretrainUnitedDR(networks.OfThePlans):
    task = UnitedDR


class nnUNetTrainerHybridFactorizer_PretrainUnitedDR(networks.HybridFactorizer):
    task = UnitedDR


class nnUNetTrainerConvFactorizer_PretrainUnitedDR(networks.ConvFactorizer):
    task = UnitedDR


class nnUNetTrainerSwinFactorizer_PretrainUnitedDR(networks.SwinFactorizer):
    task = UnitedDR


class nnUNetTrainer_PretrainUnitedD(networks.OfThePlans):
    task = UnitedD


class nnUNetTrainer_PretrainUnitedJoint(networks.OfThePlans):
    task = UnitedJoint


class nnUNetTrainer_PretrainUnitedRotation(networks.OfThePlans):
    task = UnitedRotation


class nnUNetTrainer_PretrainUnitedRubik(networks.OfThePlans):
    task = UnitedRubik
