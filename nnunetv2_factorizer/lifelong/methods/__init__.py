"""How a stage is trained, one method a file. A trainer is named by its family and the name of the class here."""

from nnunetv2_factorizer.adaptation.method import Method
from nnunetv2_factorizer.lifelong.methods.ewc import EWC
from nnunetv2_factorizer.lifelong.methods.joint import Joint
from nnunetv2_factorizer.lifelong.methods.lwf import LwF
from nnunetv2_factorizer.lifelong.methods.odex import ODEx
from nnunetv2_factorizer.lifelong.methods.rehearsal import Rehearsal
from nnunetv2_factorizer.lifelong.methods.sequential import Sequential

METHODS: dict[str, type[Method]] = {
    "odex": ODEx,
    "sequential": Sequential,
    "joint": Joint,
    "ewc": EWC,
    "lwf": LwF,
    "rehearsal": Rehearsal,
}

__all__ = ["EWC", "METHODS", "Joint", "LwF", "Method", "ODEx", "Rehearsal", "Sequential"]
