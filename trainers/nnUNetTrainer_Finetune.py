"""The architecture that the plans name, nnU-Net's own for example, fine-tuned with Muon from pre-trained weights."""

from nnunetv2_factorizer.pretraining.finetuning import Finetuning, FinetuningSchedule
from nnunetv2_factorizer.training import Guard, MuonRecipe


class nnUNetTrainer_Finetune(Finetuning, MuonRecipe):
    """50 epochs; the network comes from the plans."""


class nnUNetTrainer_Finetune_5epochs(nnUNetTrainer_Finetune):
    num_epochs = 5


class nnUNetTrainer_Finetune_20epochs(nnUNetTrainer_Finetune):
    num_epochs = 20


class nnUNetTrainer_Finetune_50epochs(nnUNetTrainer_Finetune):
    num_epochs = 50


class nnUNetTrainer_Finetune_100epochs(nnUNetTrainer_Finetune):
    num_epochs = 100


class nnUNetTrainer_FinetuneFromScratch(FinetuningSchedule, Guard, MuonRecipe):
    """The control: the same schedule without the weights."""


class nnUNetTrainer_FinetuneFromScratch_5epochs(nnUNetTrainer_FinetuneFromScratch):
    num_epochs = 5


class nnUNetTrainer_FinetuneFromScratch_20epochs(nnUNetTrainer_FinetuneFromScratch):
    num_epochs = 20


class nnUNetTrainer_FinetuneFromScratch_50epochs(nnUNetTrainer_FinetuneFromScratch):
    num_epochs = 50


class nnUNetTrainer_FinetuneFromScratch_100epochs(nnUNetTrainer_FinetuneFromScratch):
    num_epochs = 100
