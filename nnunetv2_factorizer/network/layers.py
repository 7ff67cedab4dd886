"""Layers on channels of `(B, C, *S)` tensors, written so that a channels-last volume is never copied."""

from torch import Tensor, nn


class PointwiseLinear(nn.Linear):
    """A linear map of the channels at each voxel: `(B, C_in, *S)` -> `(B, C_out, *S)`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ChannelLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each voxel of `(B, C, *S)`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class MLP(nn.Sequential):
    """Linear, GELU, linear at each voxel of `(B, C, *S)`, with `ratio * C` hidden channels."""

    def __init__(self, channels: int, ratio: float, dropout: float) -> None:
        hidden = round(channels * ratio)
        super().__init__(
            PointwiseLinear(channels, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            PointwiseLinear(hidden, channels),
            nn.Dropout(dropout),
        )
