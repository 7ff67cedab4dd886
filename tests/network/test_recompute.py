"""Recomputed layers give what the layers give, in chunks of any length, and keep nothing but their inputs."""

import copy
import pickle
from typing import Any

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd

from nnunetv2_factorizer.factorization import working_set
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.network.recompute import Recomputed, all_recomputed
from tests.conftest import relative_error


class Layers(nn.Module):
    """A function of two inputs with every kind of layer that a block has."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.mlp = nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6))
        self.recomputed = Recomputed(self, "forward")

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
    for run in (layers, layers.recomputed):
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
        layers.recomputed(*inputs)
    assert set(kept) == {x.untyped_storage().data_ptr() for x in inputs}


def test_backward_is_under_the_autocast_of_the_forward_pass() -> None:
    layers = Layers()
    x = torch.randn(50, 6, requires_grad=True)
    types = []
    layers.mlp.register_forward_hook(lambda _module, _input, output: types.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layers.recomputed(x, x)
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
    for function in (layers, layers.recomputed):
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


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_compiled_it_is_one_operator_with_the_same_gradients(
    autocast: bool, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(working_set.VOXEL_NUMBERS, "cpu", 100)  # 16 rows at a time
    layers = Layers()
    layers.norm.requires_grad_(not frozen)
    inputs = [torch.randn(50, 6, requires_grad=True) for _ in range(2)]
    leaves = [*inputs, *(p for p in layers.parameters() if p.requires_grad)]
    operators: list[str] = []

    def backend(graph: torch.fx.GraphModule, _inputs: Any) -> Any:
        operators.extend(str(node.target) for node in graph.graph.nodes)
        return make_boxed_func(graph.forward)

    results = []
    backward = aot_autograd(fw_compiler=backend, bw_compiler=backend)
    for run in (layers, torch.compile(layers.recomputed, fullgraph=True, backend=backward)):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output = run(*inputs)
        results.append([output, *torch.autograd.grad(output.float().square().sum(), leaves)])
    torch.compiler.reset()
    for expected, actual in zip(*results, strict=True):
        assert actual.dtype == expected.dtype
        assert relative_error(actual, expected) < (2e-2 if autocast else 1e-5)
    assert [name for name in operators if "addmm" in name or "gelu" in name or "layer_norm" in name] == []
    assert len([name for name in operators if "nnunetv2_factorizer.recomputed" in name]) == 2


def test_compiled_code_is_told_the_strides_of_the_gradients() -> None:
    """Inductor stops where they are others; convolutions have channels-last weights, and it permutes volumes."""
    network = Factorizer(1, 2, 2, (4, 8), nn.Conv3d, [1, 2], head_dim=4, patch_size=[4] * 3)
    merge = network.decoder.merges[0]
    skip, low = torch.randn(2, 2, 4, 4, 4).mT, torch.randn(2, 8, 2, 2).movedim(1, -1)
    inputs = ([skip, low], [p.detach() for p in merge.parameters])
    arguments = (torch.randn(skip.shape), merge.number, *inputs, None)
    operator = torch.ops.nnunetv2_factorizer.recomputed_backward.default
    torch.library.opcheck(operator, arguments, test_utils="test_faketensor")


def test_copies_have_their_own_weights() -> None:
    layers = Layers()
    copies = [copy.deepcopy(layers), pickle.loads(pickle.dumps(layers))]
    x = torch.randn(50, 6)
    for other in copies:
        nn.init.zeros_(other.mlp[2].weight)
        nn.init.zeros_(other.mlp[2].bias)
        for run in (other.recomputed, torch.compile(other.recomputed, fullgraph=True, backend="aot_eager")):
            leaf = x.clone().requires_grad_()
            assert torch.equal(run(leaf, leaf), x)
    assert not torch.equal(layers.recomputed(x, x), x)
    assert all_recomputed(copies[0]) == [copies[0].recomputed]
    torch.compiler.reset()


def test_dropout_drops_the_same_numbers_again() -> None:
    dropout = nn.Dropout(0.5)
    x = torch.ones(200, 3, requires_grad=True)
    y = Recomputed(dropout, "forward")(x, deterministic=False)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(grad, y)


def test_second_derivative() -> None:
    layers = Layers().double()
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    penalties = []
    for run in (layers, layers.recomputed):
        (grad,) = torch.autograd.grad(run(x, x).square().sum(), x, create_graph=True)
        penalties.append(torch.autograd.grad(grad.square().sum(), [x, *layers.parameters()], allow_unused=True))
    for expected, actual in zip(*penalties, strict=True):
        torch.testing.assert_close(actual, expected)


def test_a_module_that_is_left_out_is_refused() -> None:
    """It would get no gradient, and nobody would see."""

    class Forgetful(Layers):
        def __init__(self) -> None:
            super().__init__()
            self.forgotten = nn.Linear(6, 6)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return super().forward(self.forgotten(x), y)

    x = torch.randn(50, 6, requires_grad=True)
    layers = Forgetful()
    output = Recomputed(layers, "forward", ["norm", "mlp"])(x, x)
    for create_graph in (False, True):
        with pytest.raises(RuntimeError, match=r"a parameter of shape \(6, 6\) that is in none of the modules"):
            output.sum().backward(retain_graph=True, create_graph=create_graph)
