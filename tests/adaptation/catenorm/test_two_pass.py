"""CateNorm's norm and its two passes, for nnU-Net's U-Nets and Factorizers in 2D and 3D."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nnunetv2_factorizer.adaptation.catenorm.categorical import CategoricalNorm, Condition
from nnunetv2_factorizer.adaptation.catenorm.norms import NORMS, replace_norms
from nnunetv2_factorizer.adaptation.catenorm.two_pass import TwoPass
from nnunetv2_factorizer.errors import UserError
from nnunetv2_factorizer.network.block import FactorizerBlock
from nnunetv2_factorizer.network.layers import ChannelLayerNorm
from tests.training.networks import NETWORKS, network

CLASSES = 3


def images(num_axes: int) -> Tensor:
    return torch.randn(2, 2, *[16] * num_axes)


def trained(name: str, num_axes: int) -> nn.Module:
    """A network whose norms have learned something, and that keeps what a two-pass network keeps."""
    plain = network(name, num_axes)
    for module in plain.modules():
        if isinstance(module, NORMS):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
        if isinstance(module, FactorizerBlock):
            module.recompute = False
    return plain


def modulated(two_pass: nn.Module) -> nn.Module:
    """The same network, whose norms do look at the mask."""
    for module in two_pass.modules():
        if isinstance(module, CategoricalNorm):
            nn.init.normal_(module.gamma.weight, 0, 0.1)
            nn.init.normal_(module.beta.weight, 0, 0.1)
    return two_pass


@pytest.mark.parametrize("num_axes", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_zero_modulation_is_the_plain_network_exactly(name: str, num_axes: int) -> None:
    plain = trained(name, num_axes)
    two_pass = TwoPass(deepcopy(plain), CLASSES, num_axes, stages=2)
    x, mask = images(num_axes), torch.rand(2, CLASSES, *[16] * num_axes)
    with torch.no_grad():
        expected = plain.eval()(x)
        for output in (two_pass.eval()(x), two_pass.train()(x)):
            assert all(torch.equal(a, b) for a, b in zip(output, expected, strict=True))
    expected = plain.train()(x)
    expected[0].square().mean().backward()
    with two_pass.conditioned(mask):
        outputs = two_pass(x)
    assert torch.equal(outputs[0], expected[0])
    outputs[0].square().mean().backward()
    own = {name.removeprefix("body."): p for name, p in two_pass.named_parameters()}
    shared = [name for name, p in plain.named_parameters() if p.grad is not None and name in own]
    assert len(shared) > 5
    for name in shared:
        torch.testing.assert_close(own[name].grad, plain.get_parameter(name).grad)
    norms = {name: p for name, p in own.items() if ".plain." in name}
    assert norms
    assert all(p.grad is None for p in norms.values())  # theta_NB rests in the second pass
    assert all(p.grad is not None for name, p in own.items() if ".gamma." in name or ".beta." in name)


@pytest.mark.parametrize("plain", [nn.InstanceNorm3d(4, affine=True), ChannelLayerNorm(4)])
def test_the_norm_is_that_of_the_formula(plain: nn.Module) -> None:
    condition = Condition()
    norm: Any = modulated(nn.ModuleList([CategoricalNorm(plain, CLASSES, 3, condition)]))[0]
    x, mask = torch.randn(2, 4, 4, 6, 5), torch.rand(2, CLASSES, 8, 12, 10)
    assert torch.equal(norm(x), plain(x))
    condition.set(mask)
    axes = (2, 3, 4) if isinstance(plain, nn.InstanceNorm3d) else (1,)
    x_hat = (x - x.mean(axes, keepdim=True)) / (x.var(axes, unbiased=False, keepdim=True) + 1e-5).sqrt()
    m = functional.interpolate(mask, (4, 6, 5), mode="trilinear")
    hidden = functional.conv3d(m, norm.hidden.weight, norm.hidden.bias, padding=1).relu()
    assert hidden.shape[1] == 2  # C / 2
    gamma, beta = (functional.conv3d(hidden, c.weight, c.bias, padding=1) for c in (norm.gamma, norm.beta))
    torch.testing.assert_close(norm(x), (1 + gamma) * x_hat + beta)


@pytest.mark.parametrize("name", ["PlainConvUNet", "Hybrid", "Conv"])
def test_a_prediction_is_the_second_pass(name: str) -> None:
    two_pass: Any = modulated(TwoPass(trained(name, 3), CLASSES, 3, stages=1)).eval()
    x = images(3)
    with torch.inference_mode():
        first = two_pass.body(x)[0]
        with two_pass.conditioned(first.softmax(1)):
            second = two_pass.body(x)[0]
        assert torch.equal(two_pass(x)[0], second)
        assert not torch.allclose(first, second, atol=1e-3)
        two_pass.decoder.deep_supervision = False
        torch.testing.assert_close(two_pass(x), second)
        assert torch.equal(two_pass.body(x), first)  # no mask is left behind
        one = torch.cat([two_pass(image) for image in x.split(1)])  # the mask is that of each image
        torch.testing.assert_close(one, second, atol=1e-4, rtol=1e-4)


def test_a_shuffled_mask_has_the_shares_of_the_classes_and_not_their_places() -> None:
    logits = torch.zeros(1, CLASSES, 8, 8, 8)
    logits[:, 1, :4] = 5
    usual, shuffled = (TwoPass(network("Conv", 3), CLASSES, 3, 1, mask) for mask in ("predicted", "shuffled"))
    one, other = usual.mask_of(logits), shuffled.mask_of([logits, logits[..., :4]])
    torch.testing.assert_close(one, logits.softmax(1))
    torch.testing.assert_close(one.mean((2, 3, 4)), other.mean((2, 3, 4)))
    torch.testing.assert_close(other.sum(1), torch.ones(1, 8, 8, 8))
    assert torch.equal(other, shuffled.mask_of(logits))
    means = other[0, 1, :4].mean(), other[0, 1, 4:].mean()
    assert abs(means[0] - means[1]) < 0.2 < one[0, 1, :4].mean() - one[0, 1, 4:].mean()
    with pytest.raises(ValueError, match="mask must be one of predicted, true, shuffled, got 'none'"):
        TwoPass(network("Conv", 3), CLASSES, 3, 1, "none")


def test_batch_norms_are_refused() -> None:
    batch_norms = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
    with pytest.raises(UserError, match=r"(?s)batch norm cannot be.*norm_op in arch_kwargs"):
        replace_norms([batch_norms], lambda norm: norm)


def test_a_copy_has_a_mask_of_its_own() -> None:
    two_pass: Any = modulated(TwoPass(trained("PlainConvUNet", 2), CLASSES, 2, stages=1)).train()
    copy, x = deepcopy(two_pass), images(2)
    expected = two_pass(x)[0]
    with copy.conditioned(torch.rand(2, CLASSES, 16, 16)):
        assert torch.equal(two_pass(x)[0], expected)
        assert not torch.equal(copy(x)[0], expected)
