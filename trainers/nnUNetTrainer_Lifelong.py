"""The architecture that the plans name, trained on one stage of a pool with Muon."""

from nnunetv2_factorizer.adaptation.with_objective import WithObjective
from nnunetv2_factorizer.lifelong.methods import EWC, Joint, LwF, ODEx, Rehearsal, Sequential
from nnunetv2_factorizer.lifelong.methods.lwf import Distillation
from nnunetv2_factorizer.lifelong.trainer import Lifelong
from nnunetv2_factorizer.training import MuonRecipe


class nnUNetTrainer_Lifelong(Lifelong, MuonRecipe):
    """200 epochs a stage; the network comes from the plans, the method from the subclass."""


class nnUNetTrainer_LifelongODEx(nnUNetTrainer_Lifelong):
    method = ODEx


class nnUNetTrainer_LifelongSequential(nnUNetTrainer_Lifelong):
    method = Sequential


class nnUNetTrainer_LifelongJoint(nnUNetTrainer_Lifelong):
    method = Joint


class nnUNetTrainer_LifelongEWC(nnUNetTrainer_Lifelong):
    method = EWC


class nnUNetTrainer_LifelongLwF(WithObjective, nnUNetTrainer_Lifelong):
    method = LwF
    objective = Distillation


class nnUNetTrainer_LifelongRehearsal(nnUNetTrainer_Lifelong):
    method = Rehearsal
