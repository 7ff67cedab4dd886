"""Pre-training without labels: the order of blocks and their appearance; see docs/pretraining.md."""

from nnunetv2_factorizer.pretraining import networks
from nnunetv2_factorizer.pretraining.tasks import POPAR, POPARAppearance, POPAROrder


class nnUNetTrainer_PretrainPOPAR(networks.OfThePlans):
    task = POPAR


class nnUNetTrainerHybridFactorizer_PretrainPOPAR(networks.HybridFactorizer):
    task = POPAR


class nnUNetTrainerConvFactorizer_PretrainPOPAR(networks.ConvFactorizer):
    task = POPAR


class nnUNetTrainerSwinFactorizer_PretrainPOPAR(networks.SwinFactorizer):
    task = POPAR


class nnUNetTrainer_PretrainPOPAROrder(networks.OfThePlans):
    task = POPAROrder


class nnUNetTrainer_PretrainPOPARAppearance(networks.OfThePlans):
    task = POPARAppearance
