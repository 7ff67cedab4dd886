"""Conv Factorizer for any plans, fine-tuned with Muon from pre-trained weights."""

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.pretraining.finetuning import Finetuning, FinetuningSchedule
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe


class nnUNetTrainerConvFactorizer_Finetune(Finetuning, FamilyTrainer, MuonRecipe):
    family = FACTORIZER
    choices = FACTORIZER.variants["Conv"]


class nnUNetTrainerConvFactorizer_Finetune_5epochs(nnUNetTrainerConvFactorizer_Finetune):
    num_epochs = 5


class nnUNetTrainerConvFactorizer_Finetune_20epochs(nnUNetTrainerConvFactorizer_Finetune):
    num_epochs = 20


class nnUNetTrainerConvFactorizer_Finetune_50epochs(nnUNetTrainerConvFactorizer_Finetune):
    num_epochs = 50


class nnUNetTrainerConvFactorizer_Finetune_100epochs(nnUNetTrainerConvFactorizer_Finetune):
    num_epochs = 100


class nnUNetTrainerConvFactorizer_FinetuneFromScratch(FinetuningSchedule, FamilyTrainer, MuonRecipe):
    """The control: the same schedule without the weights."""

    family = FACTORIZER
    choices = FACTORIZER.variants["Conv"]


class nnUNetTrainerConvFactorizer_FinetuneFromScratch_5epochs(nnUNetTrainerConvFactorizer_FinetuneFromScratch):
    num_epochs = 5


class nnUNetTrainerConvFactorizer_FinetuneFromScratch_20epochs(nnUNetTrainerConvFactorizer_FinetuneFromScratch):
    num_epochs = 20


class nnUNetTrainerConvFactorizer_FinetuneFromScratch_50epochs(nnUNetTrainerConvFactorizer_FinetuneFromScratch):
    num_epochs = 50


class nnUNetTrainerConvFactorizer_FinetuneFromScratch_100epochs(nnUNetTrainerConvFactorizer_FinetuneFromScratch):
    num_epochs = 100
