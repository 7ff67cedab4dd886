"""Blocks and networks with the weights of the reference numbers give their outputs and gradients."""

import copy

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_factorizer.network import Factorizer, FactorizerBlock, load_reference_state_dict
from nnunetv2_factorizer.network.settings import BlockSettings
from tests.conftest import LoadReference, relative_error


def part(data: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)}


def check_gradients(module: nn.Module, data: dict[str, Tensor]) -> None:
    """Loads the reference gradients into a twin as if they were weights, which puts them under this package's names."""
    buffers = {key: value for key, value in part(data, "state/").items() if ".init." in key}
    twin = copy.deepcopy(module)
    load_reference_state_dict(twin, part(data, "grad/") | buffers)
    expected = dict(twin.named_parameters())
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        assert relative_error(parameter.grad, expected[name].detach()) < 1e-4, name


@pytest.mark.parametrize("matricize", ["swin", "local", "global"])
def test_block(matricize: str, load_reference: LoadReference) -> None:
    data = load_reference(f"block_{matricize}")
    _, channels, *size = data["x"].shape
    settings = BlockSettings(
        channels=channels, conv_op=nn.Conv3d, matricize=matricize, size=tuple(size),
        window=tuple(min(8, s) for s in size), head_dim=8, rank=1, num_iters=5, solver="hals", mlp_ratio=2,
        dropout=0.0, nmf=True, local_path="none", kernel=(3, 3, 3),
    )  # fmt: skip
    block = FactorizerBlock(settings)
    load_reference_state_dict(block, part(data, "state/"))
    x = data["x"].requires_grad_()
    y = block(x)
    y.backward(data["grad_y0"])
    assert relative_error(y, data["y0"]) < 1e-5
    assert x.grad is not None
    assert relative_error(x.grad, data["grad_x"]) < 1e-4
    check_gradients(block, data)


def network(matricize: str, data: dict[str, Tensor]) -> Factorizer:
    """Of the widths and the patch size of the reference; windows of four voxels a side where there are so many."""
    patch = data["x"].shape[2:]
    widths = [len(data[f"state/encoder.blocks.{i}.block.blocks.0.norm1.norm.weight"]) for i in range(3)]
    windows = [[min(4, p // 2**level) for p in patch] for level in range(3)]
    return Factorizer(
        2, 3, 3, widths, "torch.nn.modules.conv.Conv3d", [1, 2, 2], matricize=matricize, window_size=windows,
        head_dim=4, patch_size=list(patch), deep_supervision=True,
    )  # fmt: skip


@pytest.mark.parametrize("matricize", ["swin", "global"])
def test_network(matricize: str, load_reference: LoadReference) -> None:
    data = load_reference(f"network_{matricize}")
    factorizer = network(matricize, data)
    load_reference_state_dict(factorizer, part(data, "state/"))
    x = data["x"].requires_grad_()
    full, half = factorizer(x)
    torch.autograd.backward([full, half], [data["grad_y0"], data["grad_y1"]])
    assert relative_error(full, data["y0"]) < 1e-5
    assert relative_error(half, data["y1"]) < 1e-5
    assert x.grad is not None
    assert relative_error(x.grad, data["grad_x"]) < 1e-4
    check_gradients(factorizer, data)


def test_weights_that_do_not_fit_change_nothing(load_reference: LoadReference) -> None:
    data = load_reference("network_swin")
    state = part(data, "state/")
    factorizer = network("swin", data)
    before = {key: value.clone() for key, value in factorizer.state_dict().items()}
    with pytest.raises(ValueError, match=r"missing \['encoder.stem.weight'\], unexpected \['stalk.weight'\]"):
        load_reference_state_dict(factorizer, {key.replace("stem", "stalk"): value for key, value in state.items()})
    with pytest.raises(ValueError, match=r"encoder.stem.weight has shape \(\d, 1, 3, 3, 3\) in the weights"):
        load_reference_state_dict(factorizer, state | {"stem.weight": state["stem.weight"][:, :1]})
    assert all(torch.equal(value, before[key]) for key, value in factorizer.state_dict().items())
