"""Hybrid Factorizer for any plans, trained on one stage of a pool with Muon."""

from nnunetv2_factorizer.adaptation.with_objective import WithObjective
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.lifelong.methods import EWC, Joint, LwF, ODEx, Rehearsal, Sequential
from nnunetv2_factorizer.lifelong.methods.lwf import Distillation
from nnunetv2_factorizer.lifelong.trainer import Lifelong
from nnunetv2_factorizer.training import FamilyTrainer, MuonRecipe


class nnUNetTrainerHybridFactorizer_Lifelong(Lifelong, FamilyTrainer, MuonRecipe):
    """200 epochs a stage; the method comes from the subclass."""

    family = FACTORIZER
    choices = FACTORIZER.variants["Hybrid"]


class nnUNetTrainerHybridFactorizer_LifelongODEx(nnUNetTrainerHybridFactorizer_Lifelong):
    method = ODEx


class nnUNetTrainerHybridFactorizer_LifelongSequential(nnUNetTrainerHybridFactorizer_Lifelong):
    method = Sequential


class nnUNetTrainerHybridFactorizer_LifelongJoint(nnUNetTrainerHybridFactorizer_Lifelong):
    method = Joint


class nnUNetTrainerHybridFactorizer_LifelongEWC(nnUNetTrainerHybridFactorizer_Lifelong):
    method = EWC


class nnUNetTrainerHybridFactorizer_LifelongLwF(WithObjective, nnUNetTrainerHybridFactorizer_Lifelong):
    method = LwF
    objective = Distillation


class nnUNetTrainerHybridFactorizer_LifelongRehearsal(nnUNetTrainerHybridFactorizer_Lifelong):
    method = Rehearsal
