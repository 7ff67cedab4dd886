"""Swin Factorizer for any plans, fine-tuned with Muon from pre-trained weights."""

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.pretraining.finetuning import Finetuning, FinetuningSchedule
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe


class nnUNetTrainerSwinFactorizer_Finetune(Finetuning, FamilyTrainer, MuonRecipe):
    family = FACTORIZER
    choices = FACTORIZER.variants["Swin"]


class nnUNetTrainerSwinFactorizer_Finetune_5epochs(nnUNetTrainerSwinFactorizer_Finetune):
    num_epochs = 5


class nnUNetTrainerSwinFactorizer_Finetune_20epochs(nnUNetTrainerSwinFactorizer_Finetune):
    num_epochs = 20


class nnUNetTrainerSwinFactorizer_Finetune_50epochs(nnUNetTrainerSwinFactorizer_Finetune):
    num_epochs = 50


class nnUNetTrainerSwinFactorizer_Finetune_100epochs(nnUNetTrainerSwinFactorizer_Finetune):
    num_epochs = 100


class nnUNetTrainerSwinFactorizer_FinetuneFromScratch(FinetuningSchedule, FamilyTrainer, MuonRecipe):
    """The control: the same schedule without the weights."""

    family = FACTORIZER
    choices = FACTORIZER.variants["Swin"]


class nnUNetTrainerSwinFactorizer_FinetuneFromScratch_5epochs(nnUNetTrainerSwinFactorizer_FinetuneFromScratch):
    num_epochs = 5


class nnUNetTrainerSwinFactorizer_FinetuneFromScratch_20epochs(nnUNetTrainerSwinFactorizer_FinetuneFromScratch):
    num_epochs = 20


class nnUNetTrainerSwinFactorizer_FinetuneFromScratch_50epochs(nnUNetTrainerSwinFactorizer_FinetuneFromScratch):
    num_epochs = 50


class nnUNetTrainerSwinFactorizer_FinetuneFromScratch_100epochs(nnUNetTrainerSwinFactorizer_FinetuneFromScratch):
    num_epochs = 100
