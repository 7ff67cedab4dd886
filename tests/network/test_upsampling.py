"""Upsampling and a linear map as one layer against the two, one after the other."""

import pytest
import torch
from torch import Tensor, nn

from benchmarks.voxelwise_bytes import of_merging
from nnunetv2_factorizer.network import upsampling
from nnunetv2_factorizer.network.upsampling import add_upsampled

LAYERS = {
    "1D": (nn.ConvTranspose1d, (2,)),
    "2D": (nn.ConvTranspose2d, (2, 3)),
    "3D": (nn.ConvTranspose3d, (2, 2, 2)),
    "3D, thick slices": (nn.ConvTranspose3d, (1, 2, 2)),
}


@pytest.mark.parametrize("composed", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_is_upsampling_then_the_linear_map(name: str, composed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upsampling, "COMPOSED_FROM", 0 if composed else 10**9)
    kind, stride = LAYERS[name]
    layer = kind(6, 4, stride, stride=stride).double()
    weight = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    size = (3, 4, 2)[: len(stride)]
    low = torch.randn(*size, 6, dtype=torch.float64, requires_grad=True)
    up = [n * s for n, s in zip(size, stride, strict=True)]
    total = torch.randn(*up, 5, dtype=torch.float64)

    def plain() -> Tensor:
        return total + layer(low.movedim(-1, 0)[None])[0].movedim(0, -1) @ weight.T

    def ours() -> Tensor:
        rows = total.clone().unflatten(0, (size[0], stride[0]))
        return add_upsampled(rows, low, layer, weight).view(total.shape)

    inputs = [low, weight, *layer.parameters()]
    grad = torch.randn_like(total)
    torch.testing.assert_close(ours(), plain())
    actual, expected = (torch.autograd.grad(f(), inputs, grad) for f in (ours, plain))
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("channels", [32, 128])
def test_one_layer_moves_fewer_bytes(channels: int) -> None:
    """As counted for benchmarks/REPORT.md."""
    layers, one = (of_merging(channels, composed) for composed in (False, True))
    assert one[0] < 0.7 * layers[0]
    assert sum(one) < 0.7 * sum(layers)
