"""Pre-training without labels: masked reconstruction; see docs/pretraining.md."""

from nnunetv2_factorizer.pretraining import networks
from nnunetv2_factorizer.pretraining.tasks import MaskedReconstruction, SimMIM


class nnUNetTrainer_PretrainMAE(networks.OfThePlans):
    task = MaskedReconstruction


class nnUNetTrainerHybridFactorizer_PretrainMAE(networks.HybridFactorizer):
    task = MaskedReconstruction


class nnUNetTrainerConvFactorizer_PretrainMAE(networks.ConvFactorizer):
    task = MaskedReconstruction


class nnUNetTrainerSwinFactorizer_PretrainMAE(networks.SwinFactorizer):
    task = MaskedReconstruction


class nnUNetTrainer_PretrainSimMIM(networks.OfThePlans):
    task = SimMIM


class nnUNetTrainerHybridFactorizer_PretrainSimMIM(networks.HybridFactorizer):
    task = SimMIM


class nnUNetTrainerConvFactorizer_PretrainSimMIM(networks.ConvFactorizer):
    task = SimMIM


class nnUNetTrainerSwinFactorizer_PretrainSimMIM(networks.SwinFactorizer):
    task = SimMIM
