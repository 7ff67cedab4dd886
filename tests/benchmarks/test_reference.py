"""The plain formulation gives the reference numbers, and the package's network gives those of the plain formulation."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.reference import HALS, Block, ReferenceFactorizer, hals, multiplicative_update
from nnunetv2_factorizer.factorization import working_set
from nnunetv2_factorizer.network import Factorizer, load_reference_state_dict
from tests.conftest import LoadReference, relative_error


def check(module: nn.Module, data: dict[str, Tensor]) -> None:
    """Outputs to 1e-5, all gradients to 1e-4."""
    module.load_state_dict({k.removeprefix("state/"): v for k, v in data.items() if k.startswith("state/")})
    x = data["x"].requires_grad_()
    outputs = module(x)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    torch.autograd.backward(outputs, [data[f"grad_y{i}"] for i in range(len(outputs))])
    for i, output in enumerate(outputs):
        assert relative_error(output, data[f"y{i}"]) < 1e-5
    assert x.grad is not None
    assert relative_error(x.grad, data["grad_x"]) < 1e-4
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        assert relative_error(parameter.grad, data[f"grad/{name}"]) < 1e-4, name


@pytest.mark.parametrize("matricize", ["swin", "local", "global"])
def test_plain_block_gives_the_reference(matricize: str, load_reference: LoadReference) -> None:
    data = load_reference(f"block_{matricize}")
    _, channels, *size = data["x"].shape
    check(Block(channels, size, 2, matricize=matricize, window=8, head_dim=8, num_iters=5), data)


@pytest.mark.parametrize("matricize", ["swin", "global"])
def test_plain_network_gives_the_reference(matricize: str, load_reference: LoadReference) -> None:
    data = load_reference(f"network_{matricize}")
    widths = [len(data[f"state/encoder.blocks.{i}.block.blocks.0.norm1.norm.weight"]) for i in range(3)]
    check(ReferenceFactorizer(2, 3, widths, data["x"].shape[2:], matricize, window=4, head_dim=4, num_heads=2), data)


@pytest.mark.parametrize("num_iters", [1, 2, 5, 10])
def test_plain_rank_one_gives_the_reference(num_iters: int, load_reference: LoadReference) -> None:
    data = load_reference("nmf_rank1")
    nmf = HALS(*data["x"].shape[1:], num_iters)
    nmf.init.v0 = data["v0"]
    x = data["x"].requires_grad_()
    y = nmf(x)
    y.backward(data["grad_out"])
    assert relative_error(y, data[f"y_T{num_iters}"]) < 1e-5
    assert x.grad is not None
    assert relative_error(x.grad[:5], data[f"grad_x_T{num_iters}"][:5]) < 1e-4


@pytest.mark.parametrize("rank", [2, 4])
@pytest.mark.parametrize(("name", "solver"), [("hals", hals), ("mu", multiplicative_update)])
def test_plain_higher_rank_gives_the_reference(
    name: str, solver: Any, rank: int, load_reference: LoadReference
) -> None:
    data = load_reference("nmf_rank_r")
    x = data["x"].requires_grad_()
    u, v = solver(x, data[f"u0_R{rank}"], data[f"v0_R{rank}"], 5)
    y = u @ v.mT
    y.backward(data["grad_out"])
    for key, value in (("u", u), ("v", v), ("y", y)):
        assert relative_error(value, data[f"{name}_{key}_R{rank}"]) < 1e-5
    assert x.grad is not None
    assert relative_error(x.grad, data[f"{name}_grad_x_R{rank}"]) < 1e-4


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("recompute", [True, False])
@pytest.mark.parametrize("matricize", ["swin", "local", "global"])
def test_the_network_is_the_plain_one(
    matricize: str, recompute: bool, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(working_set.VOXEL_NUMBERS, "cpu", 2**11)  # several chunks of each
    monkeypatch.setitem(working_set.WINDOW_NUMBERS, "cpu", 2**11)
    plain = ReferenceFactorizer(2, 3, [8, 16], [16, 24, 16], matricize, window=4, head_dim=4, num_heads=1)
    network = Factorizer(
        2, 3, 2, [8, 16], nn.Conv3d, [1, 2], matricize=matricize, window_size=4, head_dim=4,
        patch_size=[16, 24, 16], recompute=recompute,
    )  # fmt: skip
    load_reference_state_dict(network, plain.state_dict())
    run: Any = torch.compile(network, fullgraph=True, backend="aot_eager") if compiled else network
    x = torch.randn(2, 2, 16, 24, 16)
    outputs, images = [], []
    for function in (lambda x: plain(x)[0], run):
        leaf = x.clone().requires_grad_()
        y = function(leaf)
        y.square().mean().backward()
        outputs.append(y)
        images.append(leaf.grad)
    torch.compiler.reset()
    assert relative_error(outputs[1], outputs[0]) < 1e-5
    assert relative_error(images[1], images[0]) < 1e-4
    # The plain network's gradients under the package's names: loaded as if they were weights.
    gradients = {name: p.grad for name, p in plain.named_parameters()}
    load_reference_state_dict(network, gradients | {n: b for n, b in plain.named_buffers()})
    for name, parameter in network.named_parameters():
        assert relative_error(parameter.grad, parameter.detach()) < 1e-4, name
