"""A depthwise convolution over 3^3 voxels, forward and backward, five ways; the block's also compiled."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu.items import Items
from benchmarks.gpu.setting import GPU, HALF, SETTING, compiled
from benchmarks.measure import device, median_ms
from nnunetv2_factorizer.network.block import FactorizerBlock
from nnunetv2_factorizer.network.settings import BlockSettings

CHANNELS = SETTING.factorizer_features[0]
ROUNDS = 5 if GPU else 2


def run(items: Items) -> None:
    torch.backends.cudnn.benchmark = True  # as nnU-Net
    items.measure("the block's, eager", partial(of_block, False))
    items.measure("convolution, channels-last", partial(alone, convolution, torch.channels_last_3d))
    items.measure("convolution, contiguous", partial(alone, convolution, torch.contiguous_format))
    items.measure("multiply-adds, eager", partial(alone, multiply_adds, torch.channels_last_3d))
    items.measure("multiply-adds, compiled", partial(alone, compiled(multiply_adds), torch.channels_last_3d))
    items.measure("the block's, compiled", partial(of_block, True))


def convolution(x: Tensor, weight: Tensor) -> Tensor:
    """`(B, C, *S)` and `(C, 1, 3, 3, 3)`; PyTorch's, by cuDNN where that has it."""
    return functional.conv3d(x, weight, padding=1, groups=x.shape[1])


def multiply_adds(x: Tensor, weight: Tensor) -> Tensor:
    """The same as a sum of 27 shifted volumes, each times a weight a channel."""
    padded = functional.pad(x, (1,) * 6)
    total = torch.zeros_like(x)
    for place in product(range(3), repeat=3):
        (i, j, k), (depth, height, width) = place, x.shape[2:]
        shifted = padded[:, :, i : i + depth, j : j + height, k : k + width]
        total = total + weight[:, 0, i, j, k].view(-1, 1, 1, 1) * shifted
    return total


def alone(function: Callable[[Tensor, Tensor], Tensor], memory_format: torch.memory_format) -> dict[str, Any]:
    weight = torch.randn(CHANNELS, 1, 3, 3, 3, device=device(), dtype=HALF, requires_grad=True)
    x, grad = _volumes(memory_format, HALF)

    def forward_and_backward() -> None:
        torch.autograd.grad(function(x, weight), (x, weight), grad)

    return {"ms": round(median_ms(forward_and_backward, ROUNDS, alone=True), 3)}


def of_block(is_compiled: bool) -> dict[str, Any]:
    """A block with a local path minus one without, under autocast."""
    ms = {path: _block_ms(path, is_compiled) for path in ("depthwise", "none")}
    return {"ms": round(ms["depthwise"] - ms["none"], 3), "ms_of_block": {name: round(t, 3) for name, t in ms.items()}}


def _block_ms(local_path: str, is_compiled: bool) -> float:
    settings = BlockSettings(
        channels=CHANNELS, conv_op=nn.Conv3d, matricize="swin", size=None, window=(8, 8, 8), head_dim=8, rank=1,
        num_iters=5, solver="hals", mlp_ratio=2, dropout=0.0, nmf=True, local_path=local_path, kernel=(3, 3, 3),
    )  # fmt: skip
    block = FactorizerBlock(settings).to(device(), memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    forward = compiled(block) if is_compiled else block
    x, grad = _volumes(torch.channels_last_3d, torch.float32)
    leaves = (x, *block.parameters())

    def forward_and_backward() -> None:
        with torch.autocast(device().type, HALF):
            y = forward(x)
        torch.autograd.grad(y, leaves, grad.to(y.dtype))

    return median_ms(forward_and_backward, ROUNDS)


def _volumes(memory_format: torch.memory_format, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """An input that wants a gradient, and the gradient of the output."""
    shape = (SETTING.batch, CHANNELS, *SETTING.patch_size)
    x, grad = (torch.randn(shape, device=device()).to(dtype, memory_format=memory_format) for _ in range(2))
    return x.requires_grad_(), grad
