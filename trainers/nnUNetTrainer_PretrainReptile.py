"""The architecture that the plans name, nnU-Net's own for example, meta-trained on labels of several data sets."""

from nnunetv2_factorizer.pretraining.reptile import Reptile, ReptileIDW


class nnUNetTrainer_PretrainReptile(Reptile): ...


class nnUNetTrainer_PretrainReptileIDW(ReptileIDW): ...
