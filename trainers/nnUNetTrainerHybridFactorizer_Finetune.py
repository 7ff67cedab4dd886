"""Hybrid Factorizer for any plans, fine-tuned with Muon from pre-trained weights."""

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.pretraining.finetuning import Finetuning, FinetuningSchedule
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe


class nnUNetTrainerHybridFactorizer_Finetune(Finetuning, FamilyTrainer, MuonRecipe):
    family = FACTORIZER
    choices = FACTORIZER.variants["Hybrid"]


class nnUNetTrainerHybridFactorizer_Finetune_5epochs(nnUNetTrainerHybridFactorizer_Finetune):
    num_epochs = 5


class nnUNetTrainerHybridFactorizer_Finetune_20epochs(nnUNetTrainerHybridFactorizer_Finetune):
    num_epochs = 20


class nnUNetTrainerHybridFactorizer_Finetune_50epochs(nnUNetTrainerHybridFactorizer_Finetune):
    num_epochs = 50


class nnUNetTrainerHybridFactorizer_Finetune_100epochs(nnUNetTrainerHybridFactorizer_Finetune):
    num_epochs = 100


class nnUNetTrainerHybridFactorizer_FinetuneFromScratch(FinetuningSchedule, FamilyTrainer, MuonRecipe):
    """The control: the same schedule without the weights."""

    family = FACTORIZER
    choices = FACTORIZER.variants["Hybrid"]


class nnUNetTrainerHybridFactorizer_FinetuneFromScratch_5epochs(nnUNetTrainerHybridFactorizer_FinetuneFromScratch):
    num_epochs = 5


class nnUNetTrainerHybridFactorizer_FinetuneFromScratch_20epochs(nnUNetTrainerHybridFactorizer_FinetuneFromScratch):
    num_epochs = 20


class nnUNetTrainerHybridFactorizer_FinetuneFromScratch_50epochs(nnUNetTrainerHybridFactorizer_FinetuneFromScratch):
    num_epochs = 50


class nnUNetTrainerHybridFactorizer_FinetuneFromScratch_100epochs(nnUNetTrainerHybridFactorizer_FinetuneFromScratch):
    num_epochs = 100
