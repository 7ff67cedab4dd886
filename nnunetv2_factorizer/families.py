"""The registry of network families: what our trainers build and our planners name, for any plan of nnU-Net.

A family needs one entry in `FAMILIES`; planners, export, doctor, conformance tests, trainers and benchmarks ask for it
here. Those of other authors, and other blocks in our U-shape, stand in `comparison.registry`.
"""

from nnunetv2_factorizer.comparison.registry import COMPARISON
from nnunetv2_factorizer.family import UNET_IMPORTS, UNET_READS, Family, FromPlan, as_architecture
from nnunetv2_factorizer.network.voxelwise import recompute_per_stage
from nnunetv2_factorizer.network.windows import windows_and_heads

__all__ = ["FACTORIZER", "FAMILIES", "UNET_IMPORTS", "UNET_READS", "Family", "FromPlan", "as_architecture", "family_of"]

PAPER = {
    "local_path": "none",
    "convolution_stages": 0,
    "downsampling": "patch",
    "position_embedding": True,
    "position_grid": None,
}
"""What the paper's variants have in common. A variant says all that makes it: plans may name another one."""

FACTORIZER = Family(
    class_name="nnunetv2_factorizer.network.Factorizer",
    reads=("n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides"),
    from_plan=windows_and_heads,
    with_memory_left=recompute_per_stage,
    takes_patch_size=True,
    variants={
        "Swin": {**PAPER, "matricize": "swin"},
        "Local": {**PAPER, "matricize": "local"},
        "Global": {**PAPER, "matricize": "global"},
        # Ours. On a fixed grid the position embedding has the same weights for every patch size.
        "Conv": {**PAPER, "matricize": "swin", "local_path": "depthwise", "position_grid": 8},
        # Ours. Dense convolutions at the two highest resolutions, which tell a voxel where it is as well.
        "Hybrid": {
            **PAPER,
            "matricize": "swin",
            "local_path": "depthwise",
            "convolution_stages": 2,
            "downsampling": "separable",
            "position_embedding": False,
        },
    },
)

FAMILIES = {"Factorizer": FACTORIZER, **COMPARISON}


def family_of(class_name: str) -> Family | None:
    """The family whose network a plan names; None for a network of somebody else, which is not imported."""
    return next((family for family in FAMILIES.values() if family.class_name == class_name), None)
