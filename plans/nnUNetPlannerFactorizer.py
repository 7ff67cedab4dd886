"""Presets of the planner. A preset is numbers and names."""

from nnunetv2_factorizer.network.variants import VARIANTS
from nnunetv2_factorizer.planning.planner import FactorizerPlanner

FIVE_STAGES = {
    "n_stages": 5,
    "features_per_stage": [32, 64, 128, 256, 512],
    "strides": [[1, 1, 1], *[[2, 2, 2]] * 4],  # one number an axis, since nnU-Net's augmentation reads them, too
}


class nnUNetPlannerFactorizer(FactorizerPlanner):
    """The paper's Swin Factorizer for a GPU of 8 GB; `-matricize` makes it Local or Global."""

    choices = VARIANTS["Swin"]


class nnUNetPlannerFactorizerM(FactorizerPlanner):
    """The Swin Factorizer with a depthwise convolution before each block (ours) for a GPU of 8 GB."""

    choices = VARIANTS["Conv"]
    default_plans_name = "nnUNetFactorizerMPlans"


class nnUNetPlannerFactorizerL(nnUNetPlannerFactorizerM):
    """The same for a GPU of 24 GB."""

    gpu_memory_target_in_gb = 24
    default_plans_name = "nnUNetFactorizerLPlans"


class nnUNetPlannerFactorizerXL(nnUNetPlannerFactorizerM):
    """The same for a GPU of 40 GB."""

    gpu_memory_target_in_gb = 40
    default_plans_name = "nnUNetFactorizerXLPlans"


class nnUNetPlannerFactorizerBraTS(nnUNetPlannerFactorizer):
    """The paper's settings for BraTS in 3D (four channels, 240x240x155 voxels of 1 mm)."""

    choices_3d = FIVE_STAGES | {"patch_size": [128] * 3, "window_size": 8, "head_dim": 8, "mlp_ratio": 2}
    default_plans_name = "nnUNetFactorizerBraTSPlans"


class nnUNetPlannerFactorizerISLES(nnUNetPlannerFactorizer):
    """The paper's settings for ISLES in 3D (two channels, 112x112x73 voxels of 2 mm)."""

    choices_3d = FIVE_STAGES | {"patch_size": [64] * 3, "window_size": 4, "head_dim": 4, "mlp_ratio": 4}
    default_plans_name = "nnUNetFactorizerISLESPlans"
