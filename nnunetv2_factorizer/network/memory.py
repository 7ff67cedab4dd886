"""A first estimate of what a Factorizer keeps for the backward pass, in the unit that nnU-Net's planner counts in."""

from collections.abc import Sequence
from math import prod

from nnunetv2_factorizer.network.settings import BlockSettings, stage_sizes

NUMBERS_PER_UNIT = 2
"""nnU-Net's planner counts convolution outputs. For each of them `PlainConvUNet` keeps 2 numbers: 7.9 bytes."""

MATRICES = {"global": 0, "local": 1, "swin": 2}
"""Copies of the volume that the loop of a solver works on, above rank 1."""

FACTORS_PER_UPDATE = {"hals": 2.5, "mu": 4}
"""Tensors of the size of the long factor that one iteration of a solver keeps, above rank 1."""


def numbers_kept(stage: BlockSettings) -> float:
    """How many numbers one block keeps for each number of its input, counted with `saved_tensors_hooks`."""
    kept = 3.0  # input, mixed volume, output
    if stage.nmf:
        kept += 1  # projected volume
        if stage.rank > 1:
            grids = 2 if stage.matricize == "swin" else 1
            per_matrix = FACTORS_PER_UPDATE[stage.solver] * stage.num_iters * stage.rank / stage.head_dim
            kept += MATRICES[stage.matricize] + grids * per_matrix
    if stage.local_path != "none":
        kept += 1
    if stage.memory == "fast":
        kept += 1.5  # normalised input and, in the decoder, upsampled features
        if stage.mlp_ratio > 0:
            kept += 2 + 2 * stage.mlp_ratio
    return kept


def feature_map_size(
    input_size: Sequence[int],
    stages: list[BlockSettings],
    strides: list[tuple[int, ...]],
    n_blocks: list[int],
    n_blocks_decoder: list[int],
) -> int:
    """The sum over all blocks, comparable to `compute_conv_feature_map_size` of nnU-Net's networks.

    Args:
        input_size: of the patch, in voxels.
        stages: settings of each stage, highest resolution first.
        strides: of each stage.
        n_blocks: of each encoder stage.
        n_blocks_decoder: of each decoder stage, lowest resolution first.
    """
    blocks = [e + d for e, d in zip(n_blocks, [*reversed(n_blocks_decoder), 0], strict=True)]
    total = 0.0
    for stage, number, size in zip(stages, blocks, stage_sizes(input_size, strides), strict=True):
        assert size is not None
        total += number * numbers_kept(stage) * stage.channels * prod(size)
    return round(total / NUMBERS_PER_UNIT)
