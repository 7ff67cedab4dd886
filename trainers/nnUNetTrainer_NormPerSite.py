"""The architecture that the plans name with one norm a site, trained with Muon."""

from nnunetv2_factorizer.adaptation.catenorm.site_trainer import NormPerSite
from nnunetv2_factorizer.training import MuonRecipe


class nnUNetTrainer_NormPerSite(NormPerSite, MuonRecipe):
    """250 epochs; the column `site` of case_metadata.json says where cases are from."""


class nnUNetTrainer_NormPerSite_5epochs(nnUNetTrainer_NormPerSite):
    num_epochs = 5


class nnUNetTrainer_NormPerSite_50epochs(nnUNetTrainer_NormPerSite):
    num_epochs = 50
