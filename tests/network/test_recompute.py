"""Recomputed layers give what the layers give, in chunks of any length, and keep nothing but their inputs."""

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_factorizer.factorization import working_set
from nnunetv2_factorizer.network.recompute import recomputed
from tests.conftest import relative_error


class Layers(nn.Module):
    """A function of two inputs with every kind of layer that a block has."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.mlp = nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + self.mlp(self.norm(y))


@pytest.mark.parametrize("chunk_numbers", [1, 100, 2**18])
@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("frozen", [False, True])
def test_same_output_and_gradients(
    chunk_numbers: int, wanted: tuple[bool, bool], frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(working_set.VOXEL_NUMBERS, "cpu", chunk_numbers)
    layers = Layers().double()
    layers.norm.requires_grad_(not frozen)
    inputs = [torch.randn(50, 6, dtype=torch.float64, requires_grad=w) for w in wanted]
    leaves = [*(x for x in inputs if x.requires_grad), *(p for p in layers.parameters() if p.requires_grad)]
    grad = torch.randn(50, 6, dtype=torch.float64)
    results = []
    for run in (layers, lambda x, y: recomputed(layers, [layers], x, y)):
        output = run(*inputs)
        results.append([output, *torch.autograd.grad(output, leaves, grad)])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)


def test_keeps_its_inputs_only() -> None:
    layers = Layers()
    inputs = [torch.randn(500, 6, requires_grad=True) for _ in range(2)]
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        recomputed(layers, [layers], *inputs)
    assert set(kept) == {x.untyped_storage().data_ptr() for x in inputs}


def test_backward_is_under_the_autocast_of_the_forward_pass() -> None:
    layers = Layers()
    x = torch.randn(50, 6, requires_grad=True)
    types = []

    def function(x: Tensor, y: Tensor) -> Tensor:
        types.append(layers.mlp(y).dtype)
        return layers(x, y)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = recomputed(function, [layers], x, x)
    actual = torch.autograd.grad(output.float().square().sum(), [x, *layers.parameters()])
    assert types == [torch.bfloat16, torch.bfloat16]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layers(x, x)
    expected = torch.autograd.grad(output.float().square().sum(), [x, *layers.parameters()])
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        assert relative_error(a, e) < 2e-2


def test_compiled_it_keeps_less_too() -> None:
    """nnU-Net compiles on a GPU; there the planner counts on what is not kept."""
    layers = Layers()
    x = torch.randn(500, 6, requires_grad=True)
    kept = []
    for function in (layers, lambda x, y: recomputed(layers, [layers], x, y)):
        numbers: list[int] = []

        def pack(tensor: Tensor, numbers: list[int] = numbers) -> Tensor:
            numbers.append(tensor.numel())
            return tensor

        compiled = torch.compile(function, fullgraph=True, backend="aot_eager_decomp_partition")
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            compiled(x, x)
        kept.append(sum(numbers))
        torch.compiler.reset()
    assert kept[1] < kept[0] / 2


def test_dropout_drops_the_same_numbers_again() -> None:
    dropout = nn.Dropout(0.5)
    x = torch.ones(200, 3, requires_grad=True)
    y = recomputed(dropout, [dropout], x, deterministic=False)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(grad, y)


def test_second_derivative() -> None:
    layers = Layers().double()
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    penalties = []
    for run in (layers, lambda x, y: recomputed(layers, [layers], x, y)):
        (grad,) = torch.autograd.grad(run(x, x).square().sum(), x, create_graph=True)
        penalties.append(torch.autograd.grad(grad.square().sum(), [x, *layers.parameters()], allow_unused=True))
    for expected, actual in zip(*penalties, strict=True):
        torch.testing.assert_close(actual, expected)


def test_a_module_that_is_left_out_is_refused() -> None:
    """It would get no gradient, and nobody would see."""
    layers, forgotten = Layers(), nn.Linear(6, 6)
    x = torch.randn(50, 6, requires_grad=True)
    output = recomputed(lambda x, y: layers(forgotten(x), y), [layers], x, x)
    for create_graph in (False, True):
        with pytest.raises(RuntimeError, match=r"a parameter of shape \(6, 6\) that is in none of the modules"):
            output.sum().backward(retain_graph=True, create_graph=create_graph)
