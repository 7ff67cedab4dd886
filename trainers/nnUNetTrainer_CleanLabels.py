"""The architecture that the plans name, trained with Muon on labels that are corrected meanwhile (SISSI)."""

from nnunetv2_factorizer.adaptation.cleaning.trainer import Cleaning
from nnunetv2_factorizer.training import MuonRecipe


class nnUNetTrainer_CleanLabels(Cleaning, MuonRecipe):
    """250 epochs; what may be an unlabelled object is background, as given."""


class nnUNetTrainer_CleanLabels_5epochs(nnUNetTrainer_CleanLabels):
    num_epochs = 5


class nnUNetTrainer_CleanLabels_50epochs(nnUNetTrainer_CleanLabels):
    num_epochs = 50


class nnUNetTrainer_CleanLabelsIgnore(nnUNetTrainer_CleanLabels):
    hiding = "ignore"


class nnUNetTrainer_CleanLabelsIgnore_50epochs(nnUNetTrainer_CleanLabelsIgnore):
    num_epochs = 50


class nnUNetTrainer_CleanLabelsBlur(nnUNetTrainer_CleanLabels):
    hiding = "blur"


class nnUNetTrainer_CleanLabelsBlur_50epochs(nnUNetTrainer_CleanLabelsBlur):
    num_epochs = 50
