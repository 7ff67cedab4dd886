"""Presets of the planner, named after what they plan. A preset is numbers."""

from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.planning.planner import FamilyPlanner

FIVE_STAGES = {
    "n_stages": 5,
    "features_per_stage": [32, 64, 128, 256, 512],
    "kernel_sizes": [[3, 3, 3]] * 5,
    "strides": [[1, 1, 1], *[[2, 2, 2]] * 4],  # one number an axis, since nnU-Net's augmentation reads them, too
}
BRATS = FIVE_STAGES | {"patch_size": [128] * 3, "window_size": 8, "head_dim": 8, "mlp_ratio": 2}
"""The paper's settings for BraTS in 3D (four channels, 240x240x155 voxels of 1 mm)."""
ISLES = FIVE_STAGES | {"patch_size": [64] * 3, "window_size": 4, "head_dim": 4, "mlp_ratio": 4}
"""The paper's settings for ISLES in 3D (two channels, 112x112x73 voxels of 2 mm)."""


class nnUNetPlannerHybridFactorizerM(FamilyPlanner):
    """The Hybrid Factorizer (ours) for a GPU of 8 GB."""

    choices = FACTORIZER.variants["Hybrid"]
    trainer = "nnUNetTrainerMuon"


class nnUNetPlannerHybridFactorizerL(nnUNetPlannerHybridFactorizerM):
    """The same for a GPU of 24 GB."""

    gpu_memory_target_in_gb = 24


class nnUNetPlannerHybridFactorizerXL(nnUNetPlannerHybridFactorizerM):
    """The same for a GPU of 40 GB."""

    gpu_memory_target_in_gb = 40


class nnUNetPlannerSwinFactorizer(FamilyPlanner):
    """The paper's Swin Factorizer for a GPU of 8 GB."""

    choices = FACTORIZER.variants["Swin"]


class nnUNetPlannerLocalFactorizer(FamilyPlanner):
    """The paper's Local Factorizer for a GPU of 8 GB."""

    choices = FACTORIZER.variants["Local"]


class nnUNetPlannerGlobalFactorizer(FamilyPlanner):
    """The paper's Global Factorizer for a GPU of 8 GB."""

    choices = FACTORIZER.variants["Global"]


class nnUNetPlannerSwinFactorizerBraTS(nnUNetPlannerSwinFactorizer):
    """With the paper's patch and network for BraTS in 3D."""

    choices_3d = BRATS


class nnUNetPlannerLocalFactorizerBraTS(nnUNetPlannerLocalFactorizer):
    """With the paper's patch and network for BraTS in 3D."""

    choices_3d = BRATS


class nnUNetPlannerGlobalFactorizerBraTS(nnUNetPlannerGlobalFactorizer):
    """With the paper's patch and network for BraTS in 3D."""

    choices_3d = BRATS


class nnUNetPlannerSwinFactorizerISLES(nnUNetPlannerSwinFactorizer):
    """With the paper's patch and network for ISLES in 3D."""

    choices_3d = ISLES


class nnUNetPlannerLocalFactorizerISLES(nnUNetPlannerLocalFactorizer):
    """With the paper's patch and network for ISLES in 3D."""

    choices_3d = ISLES


class nnUNetPlannerGlobalFactorizerISLES(nnUNetPlannerGlobalFactorizer):
    """With the paper's patch and network for ISLES in 3D."""

    choices_3d = ISLES
