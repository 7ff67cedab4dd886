"""The layers of each voxel as a GPU computes them, against PyTorch's; without a GPU through Triton's interpreter."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA build for Linux only")

from nnunetv2_factorizer.factorization.kernels import trial
from nnunetv2_factorizer.network import voxelwise, voxelwise_kernels
from nnunetv2_factorizer.network.block import FactorizerBlock
from nnunetv2_factorizer.network.recompute import Recomputed
from nnunetv2_factorizer.network.settings import BlockSettings
from tests.conftest import relative_error

pytestmark = pytest.mark.no_cover  # Triton's interpreter takes more than twice as long where lines are counted

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@pytest.fixture
def as_on_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks take the path of a GPU; what has been tried is forgotten."""
    monkeypatch.setattr(Recomputed, "on_gpu", lambda self, x: self.fused is not None)
    trial.tried.clear()
    yield
    trial.tried.clear()


def build(channels: int, ratio: float, num_axes: int = 3, **kwargs: Any) -> FactorizerBlock:
    choices = {"dropout": 0.0, "nmf": False, "local_path": "none", **kwargs}
    block_settings = BlockSettings(
        channels=channels, conv_op=CONVS[num_axes], matricize="swin", size=None, window=(2,) * num_axes, head_dim=4,
        rank=1, num_iters=2, solver="hals", mlp_ratio=ratio, kernel=(3,) * num_axes, **choices,
    )  # fmt: skip
    block = FactorizerBlock(block_settings).to(DEVICE)
    for parameter in block.parameters():  # those of norms and biases, too
        nn.init.normal_(parameter, std=0.2)
    return block


def step(block: FactorizerBlock, x: Tensor, dtype: torch.dtype | None = torch.float16) -> list[Tensor]:
    """Output, and gradients with respect to the input and all that is trained."""
    x = x.clone().requires_grad_()
    with torch.autocast(DEVICE, dtype, enabled=dtype is not None):
        z = block(x)
    grad = torch.linspace(-1, 2, z.numel(), device=DEVICE).view(z.shape).to(z.dtype)
    return [z.detach(), *torch.autograd.grad(z, [x, *(p for p in block.parameters() if p.requires_grad)], grad)]


def operators(function: Any) -> list[str]:
    """Names of what PyTorch is asked for."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        function()
    return [event.name for event in profile.events()]


@pytest.mark.usefixtures("as_on_gpu")
@pytest.mark.parametrize(
    ("channels", "ratio", "size", "volume"),
    [
        (32, 2, (5, 4, 7), torch.float16),
        (32, 4, (5, 6), torch.float16),  # other programs for volumes than for weights
        (64, 2, (67,), torch.float16),
        (16, 4, (3, 3, 9), torch.float32),  # as behind the position embedding
    ],
)
def test_a_block_is_what_its_layers_are(
    channels: int, ratio: int, size: tuple[int, ...], volume: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voxelwise_kernels, "TILES", 1)  # so that there are several programs
    block, x = build(channels, ratio, len(size)), torch.randn(2, channels, *size, device=DEVICE).to(volume)
    actual = step(block, x)
    assert set(trial.tried.values()) == {None}
    assert len(trial.tried) == 2
    plain = build(channels, ratio, len(size), recompute=False).double()
    plain.load_state_dict(block.state_dict())
    expected = step(plain, x.double(), None)
    assert [a.dtype for a in actual] == [volume, volume, *[torch.float32] * (len(actual) - 2)]
    assert all(a.shape == e.shape for a, e in zip(actual, expected, strict=True))
    assert max(relative_error(a.cpu(), e.cpu()) for a, e in zip(actual, expected, strict=True)) < 2e-3


@pytest.mark.usefixtures("as_on_gpu")
def test_autocast_in_pytorch_rounds_as_much_or_more() -> None:
    """Each gradient by the kernels is as near to float64 as PyTorch's, give or take half of that."""
    block, x = build(32, 2), torch.randn(2, 32, 6, 6, 6, device=DEVICE).half()
    exact = build(32, 2, recompute=False).double()
    exact.load_state_dict(block.state_dict())
    expected, actual = step(exact, x.double(), None), step(block, x)
    block.recompute = False
    plain = step(block, x)
    for a, p, e in zip(actual, plain, expected, strict=True):
        assert relative_error(a.cpu(), e.cpu()) < 1.5 * relative_error(p.cpu(), e.cpu()) + 1e-6


def layers(name: str, channels: int, hidden: int) -> tuple[list[torch.dtype], list[Tensor]]:
    inputs = [torch.float16] * (1 if name == "before" else 2)
    square, vector = torch.randn(channels, channels) / channels**0.5, torch.randn(channels)
    norm = [1 + torch.randn(channels) / 4, torch.randn(channels)]
    if name == "before":
        return inputs, [*norm, square]
    w1, w2 = torch.randn(hidden, channels) / channels**0.5, torch.randn(channels, hidden) / hidden**0.5
    return inputs, [square, vector, *norm, w1, torch.randn(hidden), w2, vector.flip(0)]


@given(
    st.sampled_from(["before", "after"]), st.integers(1, 200), st.sampled_from([16, 32, 64]),
    st.sampled_from([1, 2, 4]), st.integers(-6, 4), st.sampled_from([None, None, torch.nan, torch.inf]),
    st.integers(0, 1000),
)  # fmt: skip
@settings(deadline=None, max_examples=15, phases=[Phase.generate])
def test_kernels_are_the_layers_on_any_rows(
    name: str, rows: int, channels: int, ratio: int, exponent: int, wrong: float | None, place: int
) -> None:
    plain, forward, backward = voxelwise._KERNELS[name]
    types, parameters = layers(name, channels, ratio * channels)
    inputs = [(torch.randn(rows, channels) * 2.0**exponent).to(t) for t in types]
    row = place % rows
    if wrong is not None:
        inputs[0][row, place % channels] = wrong
    leaves = [t.double().requires_grad_() for t in (*inputs, *parameters)]
    expected = plain(*leaves)
    grad = torch.randn(rows, channels).half()
    gradients = torch.autograd.grad(expected, leaves, grad.double())
    inputs, grad, parameters = [t.to(DEVICE) for t in inputs], grad.to(DEVICE), [p.to(DEVICE) for p in parameters]
    results = [forward(inputs, parameters, torch.float16), *backward(grad, inputs, parameters, torch.float16)]
    others = torch.arange(rows) != row if wrong is not None else torch.arange(rows) >= 0
    for number, (a, e) in enumerate(zip(results, [expected.detach(), *gradients], strict=True)):
        a = a.cpu()
        if number > len(inputs):  # of a parameter
            assert wrong is not None or relative_error(a, e) < 5e-3
            assert torch.equal(a.isnan(), e.isnan())
        else:
            assert torch.equal(a[~others].isfinite().all(), e[~others].isfinite().all())
            assert len(a[others]) == 0 or relative_error(a[others], e[others]) < 5e-3


@pytest.mark.usefixtures("as_on_gpu")
def test_what_overflows_in_half_precision_is_seen_by_the_grad_scaler() -> None:
    block, x = build(32, 2), torch.randn(1, 32, 3, 3, 3, device=DEVICE).half().requires_grad_()
    with torch.autocast(DEVICE, torch.float16):
        z = block(x)
    (z * 60000).float().sum().backward()
    assert not all(p.grad.isfinite().all() for p in block.parameters())


@pytest.mark.usefixtures("as_on_gpu")
def test_twice_is_the_same_to_the_last_bit() -> None:
    block, x = build(32, 2), torch.randn(2, 32, 5, 5, 5, device=DEVICE).half()
    assert all(torch.equal(a, b) for a, b in zip(step(block, x), step(block, x), strict=True))


@pytest.mark.usefixtures("as_on_gpu")
def test_frozen_parameters_and_an_input_without_gradient() -> None:
    block, x = build(16, 2), torch.randn(1, 16, 4, 4, 4, device=DEVICE).half()
    everything = dict(zip([n for n, _ in block.named_parameters()], step(block, x)[2:], strict=True))
    block.norm1.requires_grad_(False)
    block.mlp[0].requires_grad_(False)
    with torch.autocast(DEVICE, torch.float16):
        block(x).float().square().sum().backward()
    assert all((p.grad is None) == n.startswith(("norm1", "mlp.0")) for n, p in block.named_parameters())
    trained = [everything[n] for n, p in block.named_parameters() if p.requires_grad]
    assert all(torch.equal(a, e) for a, e in zip(step(block, x)[2:], trained, strict=True))


@pytest.mark.usefixtures("as_on_gpu")
@pytest.mark.parametrize(
    ("channels", "choices", "dtype", "volume", "by_kernels"),
    [
        (24, {}, torch.float16, torch.float16, set()),  # no power of two
        (128, {}, torch.float16, torch.float16, set()),
        (16, {"ratio": 0}, torch.float16, torch.float16, {"before"}),
        (16, {"ratio": 1.5}, torch.float16, torch.float16, {"before"}),
        (32, {"dropout": 0.1}, torch.float16, torch.float16, set()),
        (32, {}, None, torch.float32, set()),
        (32, {}, None, torch.float64, set()),
    ],
)
def test_the_rest_is_left_to_pytorch(
    channels: int, choices: dict, dtype: torch.dtype | None, volume: torch.dtype, by_kernels: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    block = build(channels, **{"ratio": 2, **choices}).to(torch.promote_types(volume, torch.float32))
    x = torch.randn(1, channels, 3, 4, 5, device=DEVICE).to(volume)
    results = []
    for on_gpu in (True, False):
        monkeypatch.setattr(Recomputed, "on_gpu", lambda self, x, on_gpu=on_gpu: on_gpu and self.fused is not None)
        torch.manual_seed(1)  # for dropout
        results.append(step(block, x, dtype))
    assert {setting[0] for setting in trial.tried} == by_kernels
    for actual, expected in zip(*results, strict=True):
        assert relative_error(actual, expected) < 2e-2 if by_kernels else torch.equal(actual, expected)


@pytest.mark.usefixtures("as_on_gpu")
def test_a_trial_that_fails_leaves_the_layers_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    block, x = build(32, 2), torch.randn(1, 32, 3, 4, 5, device=DEVICE).half()
    works = voxelwise_kernels.after_backward
    monkeypatch.setattr(voxelwise_kernels, "after_backward", lambda *a: tuple(1.1 * g for g in works(*a)))
    monkeypatch.setattr(voxelwise_kernels, "before", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="the layers (before|after) mixing do not run on .* for 32 channels") as warned:
        actual = step(block, x)
    assert len([w for w in warned if "mixing do not run" in str(w.message)]) == 2
    monkeypatch.setattr(Recomputed, "on_gpu", lambda self, x: False)
    assert all(torch.equal(a, e) for a, e in zip(actual, step(block, x), strict=True))


@pytest.mark.usefixtures("as_on_gpu")
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_inference_tries_and_takes_the_kernels_too(mode: Any) -> None:
    block, x = build(16, 2), torch.randn(1, 16, 4, 4, 4, device=DEVICE).half()
    with mode(), torch.autocast(DEVICE, torch.float16):
        z = block(x)
    assert list(trial.tried.values()) == [None, None]
    assert torch.equal(z, step(block, x)[0])


@pytest.mark.usefixtures("as_on_gpu")
def test_second_derivatives_are_those_of_pytorch() -> None:
    block, x = build(16, 2), torch.randn(1, 16, 2, 2, 2, device=DEVICE).half().requires_grad_()
    with torch.autocast(DEVICE, torch.float16):
        (grad,) = torch.autograd.grad(block(x).float().square().sum(), x, create_graph=True)
    grad.float().square().sum().backward()
    assert block.norm1.weight.grad.isfinite().all()


@pytest.mark.usefixtures("as_on_gpu")
def test_compiled_and_eager_call_one_operator_and_nothing_else() -> None:
    block, x = build(32, 2), torch.randn(1, 32, 4, 4, 4, device=DEVICE).half()
    step(block, x)  # what is tried is compared with PyTorch's layers
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    expected = step(block, x)
    assert all(relative_error(a, e) < 1e-6 for a, e in zip(step(compiled, x), expected, strict=True))
    for run in (block, compiled):
        names = operators(lambda run=run: step(run, x))
        assert not any(part in name for name in names for part in ("gelu", "layer_norm", "addmm", "linear"))
        called = [name for name in names if name.startswith("nnunetv2_factorizer::recomputed")]
        assert sorted(called) == sorted(
            ["nnunetv2_factorizer::recomputed", "nnunetv2_factorizer::recomputed_backward"] * 2
        )
    torch.compiler.reset()
