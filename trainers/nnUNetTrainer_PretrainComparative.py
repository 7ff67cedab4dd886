"""Pre-training without labels: ranking slices; see docs/pretraining.md."""

from nnunetv2_factorizer.pretraining import networks
from nnunetv2_factorizer.pretraining.tasks import Comparative, Contrastive


class nnUNetTrainer_PretrainComparative(networks.OfThePlans):
    task = Comparative


class nnUNetTrainerHybridFactorizer_PretrainComparative(networks.HybridFactorizer):
    task = Comparative


class nnUNetTrainerConvFactorizer_PretrainComparative(networks.ConvFactorizer):
    task = Comparative


class nnUNetTrainerSwinFactorizer_PretrainComparative(networks.SwinFactorizer):
    task = Comparative


class nnUNetTrainer_PretrainContrastive(networks.OfThePlans):
    task = Contrastive


class nnUNetTrainerHybridFactorizer_PretrainContrastive(networks.HybridFactorizer):
    task = Contrastive


class nnUNetTrainerConvFactorizer_PretrainContrastive(networks.ConvFactorizer):
    task = Contrastive


class nnUNetTrainerSwinFactorizer_PretrainContrastive(networks.SwinFactorizer):
    task = Contrastive
