"""The kinds of plans that a network is tried with: what nnU-Net's planner writes, at the smallest sizes."""

from dataclasses import dataclass
from typing import Any

from dynamic_network_architectures.building_blocks.helper import convert_dim_to_conv_op, get_matching_instancenorm


@dataclass(frozen=True)
class Configuration:
    """A configuration: `patch_size` in voxels, `strides` and `kernel_sizes` of each stage, one number an axis."""

    name: str
    patch_size: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernel_sizes: tuple[tuple[int, ...], ...]


# Strides and kernel sizes are those that nnU-Net derives for 1 mm, and for slices 3 mm apart.
CONFIGURATIONS = (
    Configuration("2d", (16, 16), ((1, 1), (2, 2), (2, 2)), ((3, 3),) * 3),
    Configuration("3d", (16, 16, 16), ((1, 1, 1), (2, 2, 2), (2, 2, 2)), ((3, 3, 3),) * 3),
    Configuration("3d_anisotropic", (8, 16, 16), ((1, 1, 1), (1, 2, 2), (2, 2, 2)), ((1, 3, 3), (3, 3, 3), (3, 3, 3))),
)


def planned_arch_kwargs(configuration: Configuration) -> dict[str, Any]:
    """All arguments that nnU-Net's planners write for one network or another, and `patch_size`; 8 channels and up."""
    n_stages = len(configuration.strides)
    conv_op = convert_dim_to_conv_op(len(configuration.patch_size))
    norm_op = get_matching_instancenorm(conv_op)
    return fixed_by(configuration) | {
        "features_per_stage": [8 * 2**stage for stage in range(n_stages)],
        "conv_op": f"{conv_op.__module__}.{conv_op.__name__}",
        "n_conv_per_stage": [2] * n_stages,
        "n_blocks_per_stage": [1] * n_stages,
        "n_conv_per_stage_decoder": [1] * (n_stages - 1),
        "conv_bias": True,
        "norm_op": f"{norm_op.__module__}.{norm_op.__name__}",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def fixed_by(configuration: Configuration) -> dict[str, Any]:
    """The arguments that say what the configuration is; with others it would be another configuration."""
    return {
        "n_stages": len(configuration.strides),
        "strides": [list(stride) for stride in configuration.strides],
        "kernel_sizes": [list(size) for size in configuration.kernel_sizes],
        "patch_size": list(configuration.patch_size),
    }
