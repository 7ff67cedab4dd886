"""The architecture that the plans name, nnU-Net's own for example, trained with Muon."""

from nnunetv2_factorizer.training import Guard, MuonRecipe


class nnUNetTrainerMuon(Guard, MuonRecipe):
    """250 epochs; the network comes from the plans."""


class nnUNetTrainerMuon_5epochs(nnUNetTrainerMuon):
    num_epochs = 5


class nnUNetTrainerMuon_20epochs(nnUNetTrainerMuon):
    num_epochs = 20


class nnUNetTrainerMuon_50epochs(nnUNetTrainerMuon):
    num_epochs = 50


class nnUNetTrainerMuon_100epochs(nnUNetTrainerMuon):
    num_epochs = 100


class nnUNetTrainerMuon_1000epochs(nnUNetTrainerMuon):
    num_epochs = 1000
