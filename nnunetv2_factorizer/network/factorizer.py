"""The Factorizer, a U-shaped network of NMF blocks (Ashtari et al., Medical Image Analysis 84, 2023)."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch.nn.modules.conv import _ConvNd

from nnunetv2_factorizer.factorization.checks import check_count
from nnunetv2_factorizer.network.block import FactorizerBlock
from nnunetv2_factorizer.network.convolution import ConvolutionBlock
from nnunetv2_factorizer.network.settings import (
    DOWNSAMPLINGS,
    BlockSettings,
    check_choice,
    parse_shape,
    per_axis,
    per_stage,
    stage_sizes,
)
from nnunetv2_factorizer.network.u_shape import Stage, UShape


class Factorizer(UShape):
    """A segmentation network for any nnU-Net plan: `(B, input_channels, *S)` to logits `(B, num_classes, *S)`.

    Every argument but the first two may stand in a plans file: numbers, strings, lists. Where the type says
    "per stage", a list with one entry a stage (highest resolution first) may stand in place of the single value; the
    decoder stage of a resolution takes the value of the encoder stage of that resolution.

    Args:
        input_channels: image channels.
        num_classes: output channels, `num_segmentation_heads` in nnU-Net.
        n_stages: resolutions, at least 2.
        features_per_stage: channels, per stage.
        conv_op: `torch.nn.Conv2d` or `Conv3d` (or 1d), or its dotted name.
        strides: of each stage with respect to the one before it, a number or one number an axis.
        n_blocks_per_stage: Factorizer blocks of each encoder stage.
        n_blocks_per_stage_decoder: Factorizer blocks of each decoder stage, lowest resolution first.
        matricize: `"swin"` (two shifted grids of windows), `"local"` (one grid) or `"global"`, per stage.
        window_size: voxels, per stage; an entry of the list may have one number an axis, such as `[1, 8, 8]`.
        head_dim: channels of one head, the rows of a matrix; per stage.
        rank: of the factorization, per stage.
        num_iters: of the solver, per stage.
        solver: `"hals"` or `"mu"`, per stage.
        mlp_ratio: hidden channels of the MLP over its channels, per stage; 0 leaves the MLP out.
        dropout: probability in the MLP, per stage.
        patch_size: of the training patch in voxels; needed by `"global"`, and for a position embedding of its size.
        position_embedding: a learnable one, added after the last downsampling.
        position_grid: its vectors an axis, such as 8 or `[4, 8, 8]`, interpolated to the voxels there: the weights are
            the same for every patch (ours). None: a vector a voxel of the patch there, as in the paper.
        nmf: False replaces the factorization by the identity, per stage.
        local_path: `"depthwise"` adds a residual depthwise convolution before each block, `"none"` is the paper's
            network; per stage.
        convolution_stages: so many of the highest resolutions have residual dense convolutions in place of Factorizer
            blocks (ours); the lowest has them never.
        kernel_sizes: of these convolutions, in voxels, per stage; an entry of the list may have one number an axis,
            such as nnU-Net's `[1, 3, 3]` where slices are thick.
        downsampling: `"patch"`, the paper's convolution as wide as its stride, or `"separable"`, a depthwise one over 3
            voxels an axis and a pointwise one (ours), which leads to Factorizer blocks only.
        deep_supervision: return the logits of each decoder stage, highest resolution first, in place of one tensor.
        recompute: the layers of each voxel in the backward pass, in place of keeping what they made, three times as
            much; per stage.
        skip_nmf: blocks by name, such as `["decoder.stages.3.0"]`, whose factorization is the identity. The weights
            are those of the network that does not skip: what a trained model runs without, in place of `nmf`.

    Raises:
        ValueError: an argument is out of range; the message names it, its value and what is accepted.
    """

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        n_stages: int,
        features_per_stage: int | Sequence[int],
        conv_op: str | type[_ConvNd],
        strides: int | Sequence[int | Sequence[int]],
        n_blocks_per_stage: int | Sequence[int] = 1,
        n_blocks_per_stage_decoder: int | Sequence[int] = 1,
        matricize: str | Sequence[str] = "swin",
        window_size: int | Sequence[int | Sequence[int]] = 8,
        head_dim: int | Sequence[int] = 8,
        rank: int | Sequence[int] = 1,
        num_iters: int | Sequence[int] = 5,
        solver: str | Sequence[str] = "hals",
        mlp_ratio: float | Sequence[float] = 2,
        dropout: float | Sequence[float] = 0.0,
        patch_size: Sequence[int] | None = None,
        position_embedding: bool = True,
        position_grid: int | Sequence[int] | None = None,
        nmf: bool | Sequence[bool] = True,
        local_path: str | Sequence[str] = "none",
        convolution_stages: int = 0,
        kernel_sizes: int | Sequence[int | Sequence[int]] = 3,
        downsampling: str = "patch",
        deep_supervision: bool = False,
        recompute: bool | Sequence[bool] = True,
        skip_nmf: Sequence[str] = (),
    ) -> None:
        conv, parsed_strides = parse_shape(n_stages, conv_op, strides)
        num_axes = len(parsed_strides[0])
        if position_embedding and patch_size is None and position_grid is None:
            raise ValueError(
                "position_embedding=True needs patch_size, the size of the training patch in voxels, or position_grid; "
                "got None. Give one of them, or position_embedding=False."
            )
        if convolution_stages < 0:
            raise ValueError(f"convolution_stages must be 0 or positive, got {convolution_stages}.")
        choices: dict[str, Any] = {
            "channels": features_per_stage,
            "matricize": matricize,
            "head_dim": head_dim,
            "rank": rank,
            "num_iters": num_iters,
            "solver": solver,
            "mlp_ratio": mlp_ratio,
            "dropout": dropout,
            "nmf": nmf,
            "local_path": local_path,
            "recompute": recompute,
        }
        columns = {name: per_stage(name, value, n_stages) for name, value in choices.items()}
        windows = [per_axis("window_size", w, num_axes) for w in per_stage("window_size", window_size, n_stages)]
        kernels = [per_axis("kernel_sizes", k, num_axes) for k in per_stage("kernel_sizes", kernel_sizes, n_stages)]
        sizes = stage_sizes(patch_size, parsed_strides)
        settings = [
            BlockSettings(
                conv_op=conv,
                window=windows[i],
                size=sizes[i],
                kernel=kernels[i],
                convolution=i < min(convolution_stages, n_stages - 1),
                **{k: v[i] for k, v in columns.items()},
            )
            for i in range(n_stages)
        ]
        n_blocks = per_stage("n_blocks_per_stage", n_blocks_per_stage, n_stages)
        n_blocks_decoder = per_stage("n_blocks_per_stage_decoder", n_blocks_per_stage_decoder, n_stages - 1)
        for name, numbers in (("n_blocks_per_stage", n_blocks), ("n_blocks_per_stage_decoder", n_blocks_decoder)):
            for number in numbers:
                check_count(name, number)
        position_size = sizes[-1] if position_grid is None else per_axis("position_grid", position_grid, num_axes)
        for number in position_size or ():
            check_count("position_grid", number)
        check_choice("downsampling", downsampling, DOWNSAMPLINGS)
        if not position_embedding:
            position_size = None
        super().__init__(
            input_channels,
            num_classes,
            [_stage(s, downsampling) for s in settings],
            parsed_strides,
            n_blocks,
            n_blocks_decoder,
            position_size,
            deep_supervision,
        )
        for name in skip_nmf:
            self._block(name).mixer.skip()
        self._channels_last()

    @property
    def blocks(self) -> dict[str, FactorizerBlock]:
        """The Factorizer blocks by name, in the order of computation."""
        return {name: module for name, module in self.named_modules() if isinstance(module, FactorizerBlock)}

    def _block(self, name: str) -> FactorizerBlock:
        if name not in self.blocks:
            raise ValueError(f"skip_nmf must name blocks of the network, {', '.join(self.blocks)}; got {name!r}.")
        return self.blocks[name]


def _stage(settings: BlockSettings, downsampling: str) -> Stage:
    """Convolutions overlap themselves: the way to them is the paper's, a convolution as wide as its stride."""
    block = ConvolutionBlock if settings.convolution else FactorizerBlock
    return Stage(
        channels=settings.channels,
        conv_op=settings.conv_op,
        block=partial(block, settings),
        downsampling="patch" if settings.convolution else downsampling,
        recompute=settings.recompute,
    )
