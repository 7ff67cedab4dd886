"""Muon against its formulas written out plainly, against PyTorch's own for matrices, and by its properties."""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnunetv2_factorizer.training.optimizers import Muon, muon_groups
from nnunetv2_factorizer.training.optimizers.muon import orthogonalise
from tests.conftest import relative_error
from tests.training.networks import NETWORKS, network


def newton_schulz(x: Tensor) -> Tensor:
    """Jordan's loop on X itself, in double precision."""
    x = x.double() / x.double().norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
    return x


def plain_steps(weight: Tensor, gradients: list[Tensor], lr: float, weight_decay: float) -> Tensor:
    """Steps of Muon with Nesterov momentum of 0.95, for one weight of any shape."""
    w, momentum = weight.double().clone(), torch.zeros_like(weight, dtype=torch.float64)
    for gradient in gradients:
        momentum = 0.95 * momentum + 0.05 * gradient.double()
        update = newton_schulz((0.05 * gradient.double() + 0.95 * momentum).flatten(1)).view(w.shape)
        rows, columns = w.flatten(1).shape
        w = (1 - lr * weight_decay) * w - lr * 0.2 * math.sqrt(max(rows, columns)) * update
    return w


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(24, 16),
    "tall": lambda: nn.Linear(8, 40),
    "conv3d": lambda: nn.Conv3d(8, 16, 3),
    "conv2d": lambda: nn.Conv2d(8, 16, (1, 3)),
    "transposed": lambda: nn.ConvTranspose3d(16, 8, 2, stride=2),
    "channels last": lambda: nn.Conv3d(8, 16, 3).to(memory_format=torch.channels_last_3d),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_steps_equal_the_plain_formulation(layer: str) -> None:
    modules = nn.ModuleList(LAYERS[layer]() for _ in range(3))  # equal shapes go together
    optimizer = Muon(muon_groups(modules, 0.02, 3e-3), weight_decay=0.1)
    start = [module.weight.detach().clone() for module in modules]
    gradients = [[torch.randn_like(module.weight) for module in modules] for _ in range(3)]
    for step in gradients:
        for module, gradient in zip(modules, step, strict=True):
            module.weight.grad = gradient.clone()
        optimizer.step()
    for i, module in enumerate(modules):
        expected = plain_steps(start[i], [step[i] for step in gradients], 0.02, 0.1)
        assert relative_error(module.weight - start[i], expected - start[i]) < 1e-4


def test_matrices_move_as_with_pytorchs_muon() -> None:
    theirs = getattr(torch.optim, "Muon", None)
    if theirs is None:
        pytest.skip(f"PyTorch {torch.__version__} has no Muon")
    ours, other = nn.Linear(32, 48, bias=False), nn.Linear(32, 48, bias=False)
    other.load_state_dict(ours.state_dict())
    start = ours.weight.detach().clone()
    a = Muon(muon_groups(ours, 0.02, 0.0), weight_decay=0.1)
    b = theirs(other.parameters(), lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        gradient = torch.randn(48, 32)
        for layer, optimizer in ((ours, a), (other, b)):
            layer.weight.grad = gradient.clone()
            optimizer.step()
    assert relative_error(ours.weight - start, other.weight - start) < 0.02  # theirs works in bfloat16


def test_the_others_move_as_with_adamw() -> None:
    ours, other = nn.Conv3d(8, 8, 3, groups=8), nn.Conv3d(8, 8, 3, groups=8)
    other.load_state_dict(ours.state_dict())
    a = Muon(muon_groups(ours, 0.02, 3e-3), weight_decay=0.1)
    b = torch.optim.AdamW(other.parameters(), lr=3e-3, weight_decay=0.1)
    for _ in range(3):
        for p, q in zip(ours.parameters(), other.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        a.step()
        b.step()
    for p, q in zip(ours.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 16, 432), (2, 200, 24)])
def test_singular_values_come_near_one_and_their_vectors_stay(shape: tuple[int, int, int]) -> None:
    x = torch.randn(shape)
    result = orthogonalise(x)
    values = torch.linalg.svdvals(result)
    assert values.max() < 1.25
    # Those below a hundredth or so of the norm take more than five steps.
    large = torch.linalg.svdvals(x) / torch.linalg.matrix_norm(x)[:, None] > 0.02
    assert values[large].min() > 0.65
    u, _, vh = torch.linalg.svd(x.double(), full_matrices=False)
    core = u.mT @ result.double() @ vh.mT
    assert relative_error(core, torch.diag_embed(core.diagonal(dim1=1, dim2=2))) < 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_does_not_blow_up(dtype: torch.dtype) -> None:
    low_rank = torch.randn(64, 2) @ torch.randn(2, 256)
    result = orthogonalise(low_rank[None].to(dtype))[0]
    assert result.dtype == dtype
    assert torch.linalg.svdvals(result.float()).max() < 1.25


def test_a_compiled_network_has_the_same_groups() -> None:
    net = network("PlainConvUNet", 3)
    compiled: Any = torch.compile(net, backend="eager")
    for group, expected in zip(muon_groups(compiled, 1.0, 1.0), muon_groups(net, 1.0, 1.0), strict=True):
        assert [id(p) for p in group["params"]] == [id(p) for p in expected["params"]]


def test_a_gradient_of_zero_moves_nothing() -> None:
    layer = nn.Linear(8, 8, bias=False)
    start = layer.weight.detach().clone()
    layer.weight.grad = torch.zeros(8, 8)
    Muon(muon_groups(layer, 0.02, 3e-3), weight_decay=0.0).step()
    assert torch.equal(layer.weight, start)


def test_a_parameter_without_gradient_stays() -> None:
    modules = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
    start = deepcopy(modules.state_dict())
    modules[0].weight.grad = torch.randn(8, 8)
    Muon(muon_groups(modules, 0.02, 3e-3)).step()
    moved = {name for name, p in modules.named_parameters() if not torch.equal(p, start[name])}
    assert moved == {"0.weight"}


@pytest.mark.parametrize("num_axes", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_is_in_one_group_and_heads_and_depthwise_are_not_matrices(name: str, num_axes: int) -> None:
    net = network(name, num_axes)
    groups: list[dict[str, Any]] = muon_groups(net, 1.0, 1.0)
    assert [group["matrices"] for group in groups] == [True, False]
    ids = [[id(p) for p in group["params"]] for group in groups]
    assert sorted(ids[0] + ids[1]) == sorted(id(p) for p in net.parameters())
    names = {id(p): name for name, p in net.named_parameters()}
    others = {names[i] for i in ids[1]}
    grouped = {f"{n}.weight" for n, module in net.named_modules() if getattr(module, "groups", 1) > 1}
    kept_apart = ("seg_layers", "position_embedding")
    flat = {n for n in others if net.get_parameter(n).ndim < 2}
    assert {n for n in others - flat if not any(part in n for part in kept_apart)} == grouped
    matrices = {names[i] for i in ids[0]}
    assert matrices
    assert not any("seg_layers" in n or n.endswith("bias") for n in matrices)


def test_a_closure_is_called_with_gradients() -> None:
    layer = nn.Linear(8, 8)
    optimizer = Muon(muon_groups(layer, 0.02, 3e-3))

    def closure() -> float:
        loss = layer(torch.ones(1, 8)).square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) > 0
