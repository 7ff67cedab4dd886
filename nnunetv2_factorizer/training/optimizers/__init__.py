"""Optimisers that PyTorch does not have, or not for convolutions. They know nothing of nnU-Net."""

from nnunetv2_factorizer.training.optimizers.avagrad import AvaGrad
from nnunetv2_factorizer.training.optimizers.muon import Muon, muon_groups

__all__ = ["AvaGrad", "Muon", "muon_groups"]
