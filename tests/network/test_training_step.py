"""A training step compiled by Inductor, in C++ where there is no GPU, against the same step as it is written."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.network import Factorizer
from tests.conftest import relative_error

SCALE = 2.0**10
"""Of the loss, as by a `GradScaler`."""


def hybrid() -> Factorizer:
    """It has everything: dense, depthwise, strided and transposed convolutions, norms, mixing, recomputed layers."""
    torch.manual_seed(0)
    return Factorizer(
        1, 3, 2, [4, 8], nn.Conv2d, [1, 2], head_dim=4, window_size=4, position_grid=2, local_path="depthwise",
        convolution_stages=1, downsampling="separable", deep_supervision=True,
    )  # fmt: skip


def train(network: nn.Module, run: Callable[[Tensor], list[Tensor]], dtype: torch.dtype) -> tuple[Tensor, list[Tensor]]:
    """The losses of two of nnU-Net's steps, and how far the parameters have moved."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 1, 16, 16, generator=generator)
    target = torch.randint(3, (2, 16, 16), generator=generator)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.99, nesterov=True)
    before = [p.detach().clone() for p in network.parameters()]
    losses = []
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = run(image)
            parts = [functional.cross_entropy(o.float(), target[..., :: 2**i, :: 2**i]) for i, o in enumerate(logits)]
            loss = torch.stack([part / 2**i for i, part in enumerate(parts)]).sum()
        (SCALE * loss).backward()
        for p in network.parameters():
            p.grad = p.grad / SCALE
        nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses), [p.detach() - b for p, b in zip(network.parameters(), before, strict=True)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_by_inductor_it_is_the_same(dtype: torch.dtype) -> None:
    network, same = hybrid(), hybrid()
    torch.compiler.reset()  # as in a new process: sizes of other tests would be taken for variables
    losses, movements = train(same, torch.compile(same, fullgraph=True), dtype)
    torch.compiler.reset()
    expected_losses, expected = train(network, network, dtype)
    if dtype == torch.bfloat16:  # as one: of some gradients rounding leaves little, such as of a bias before a norm
        movements, expected = ([torch.cat([m.flatten() for m in moved])] for moved in (movements, expected))
    tolerance = {torch.float32: 1e-4, torch.bfloat16: 0.1}[dtype]
    assert relative_error(losses, expected_losses) < tolerance / 10
    for actual, e in zip(movements, expected, strict=True):
        assert relative_error(actual, e) < tolerance
