"""The GPU kernels against the CPU's version: on a GPU where there is one, else through Triton's interpreter."""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA build for Linux only")

from nnunetv2_factorizer.factorization import kernels, mixing
from nnunetv2_factorizer.factorization.kernels import mixing_trial, trial, windows
from nnunetv2_factorizer.factorization.kernels.windows import _launches, mix_windows, mix_windows_backward
from tests.conftest import relative_error

pytestmark = pytest.mark.no_cover  # Triton's interpreter takes more than twice as long where lines are counted

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("size", "window", "channels", "head_dim", "shifted", "num_iters"),
    [
        ((8, 4, 4), (4, 4, 4), 8, 4, True, 5),
        ((4, 4, 8), (4, 4, 4), 8, 4, False, 5),
        ((8, 8, 8), (8, 8, 8), 8, 8, True, 5),
        ((5, 7, 6), (4, 3, 6), 6, 3, True, 3),  # padding, and sides that are no powers of two
        ((2, 9, 8), (1, 8, 8), 8, 2, True, 1),
        ((7, 6), (4, 4), 4, 2, True, 16),
        ((13,), (4,), 5, 1, True, 2),
        ((19, 16), (18, 16), 20, 20, True, 2),  # windows and halves of several tiles, heads that are no power of two
        ((6, 5), (5, 3), 80, 8, True, 3),  # several programs a window, the last with fewer heads
        ((3, 4), (3, 4), 64, 32, True, 5),  # one window
    ],
)
def test_kernels_agree_with_the_cpu(
    size: tuple[int, ...], window: tuple[int, ...], channels: int, head_dim: int, shifted: bool, num_iters: int,
    dtype: torch.dtype,
) -> None:  # fmt: skip
    x = torch.randn(2, *size, channels).to(dtype)
    x[0, : size[0] // 2] = 0
    grad = torch.randn(2, *size, channels).to(dtype)
    settings = (torch.rand(prod(window), 1), head_dim, list(window), shifted, num_iters)
    on_device = (settings[0].to(DEVICE), *settings[1:])
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    y = mix_windows(x.to(DEVICE), *on_device).cpu()
    assert y.dtype == dtype
    assert relative_error(y, torch.ops.nnunetv2_factorizer.mix(x, *settings)) < tolerance
    dx = mix_windows_backward(grad.to(DEVICE), x.to(DEVICE), *on_device).cpu()
    assert dx.dtype == dtype
    assert relative_error(dx, torch.ops.nnunetv2_factorizer.mix_backward(grad, x, *settings)) < 10 * tolerance


@st.composite
def cases(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, tuple[Any, ...]]:
    """A volume, an upstream gradient and settings; some volumes have a number that is not finite."""
    size = tuple(draw(st.integers(1, 7)) for _ in range(draw(st.integers(1, 3))))
    window = [draw(st.integers(1, min(s, 5))) for s in size]
    head_dim, heads, batch = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    settings = (head_dim, window, draw(st.booleans()), draw(st.integers(1, 4)))
    assume(prod(-(-s // p) for s, p in zip(size, window, strict=True)) * batch <= 24)  # programs of the interpreter
    x, grad = torch.randn(2, batch, *size, heads * head_dim) * 10.0 ** draw(st.integers(-20, 15))
    wrong = draw(st.sampled_from([None, None, None, torch.nan, torch.inf]))
    if wrong is not None:
        x.flatten()[draw(st.integers(0, x.numel() - 1))] = wrong
    return x, grad / grad.norm(), (torch.rand(prod(window), 1), *settings)


@given(cases())
@settings(deadline=None, max_examples=25, phases=[Phase.generate], suppress_health_check=[HealthCheck.filter_too_much])
def test_kernels_agree_with_the_cpu_on_any_volume(
    case: tuple[torch.Tensor, torch.Tensor, tuple[Any, ...]],
) -> None:
    x, grad, (v0, *arguments) = case
    plain = mixing._mix_rows(x, v0, *arguments), mixing._mix_rows_backward(grad, x, v0, *arguments)
    on_device = x.to(DEVICE), v0.to(DEVICE)
    fused = mix_windows(*on_device, *arguments), mix_windows_backward(grad.to(DEVICE), *on_device, *arguments)
    for actual, expected in zip(fused, plain, strict=True):
        actual, finite = actual.cpu(), expected.isfinite()
        assert actual.isfinite().all() == finite.all()  # on the CPU a NaN is in all heads that are multiplied together
        assert actual[finite].isfinite().all()
        assert (actual[finite] - expected[finite]).norm() <= 1e-4 * expected[finite].norm()


def test_accumulates_in_float32() -> None:
    """`X X^T` of this window is beyond float16."""
    x = (200 * torch.rand(1, 8, 8, 8, 4)).half()
    settings = (torch.rand(512, 1, device=DEVICE), 4, [8, 8, 8], True, 5)
    y = mix_windows(x.to(DEVICE), *settings).cpu()
    dx = mix_windows_backward(torch.ones_like(x).to(DEVICE), x.to(DEVICE), *settings).cpu()
    assert torch.isfinite(y).all()
    assert torch.isfinite(dx).all()
    assert relative_error(y, torch.ops.nnunetv2_factorizer.mix(x, settings[0].cpu(), *settings[1:])) < 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("exponent", [-100, -46, 33, 60])  # 1e-30 to 1e18
def test_a_multiple_of_the_volume_gives_that_of_the_output_and_the_same_gradient(
    exponent: int, dtype: torch.dtype
) -> None:
    x, grad = torch.randn(2, 1, 6, 7, 8).to(device=DEVICE, dtype=dtype)
    x[:, :4, :4] = 0
    settings = (torch.rand(16, 1, device=DEVICE), 4, [4, 4], True, 5)
    scaled = x * 2.0**exponent
    y, expected = mix_windows(scaled, *settings), mix_windows(x, *settings) * 2.0**exponent
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-37)  # rounded where float32 ends only
    assert torch.equal(mix_windows_backward(grad, scaled, *settings), mix_windows_backward(grad, x, *settings))


@pytest.mark.parametrize("layout", ["x", "grad", "both"])
def test_kernels_are_given_contiguous_volumes(layout: str) -> None:
    x, grad = torch.randn(2, 1, 6, 7, 8, device=DEVICE)
    settings = (torch.rand(16, 1, device=DEVICE), 4, [4, 4], True, 5)
    permuted = [t.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1) for t in (x, grad)]
    given_x, given_grad = permuted[0] if layout != "grad" else x, permuted[1] if layout != "x" else grad
    assert torch.equal(mixing._mix_cuda(given_x, *settings), mix_windows(x, *settings))
    dx = mixing._mix_backward_cuda(given_grad, given_x, *settings)
    assert torch.equal(dx, mix_windows_backward(grad, x, *settings))


@pytest.mark.parametrize(
    ("dtype", "head_dim", "window", "num_iters", "expected"),
    [
        (torch.float16, 8, [8, 8, 8], 5, True),
        (torch.float32, 32, [16, 16, 16], 16, True),
        (torch.float32, 33, [8, 8, 8], 5, False),
        (torch.float32, 8, [128, 128, 128], 5, False),
        (torch.float32, 8, [8, 8, 8], 17, False),
        (torch.float64, 8, [8, 8, 8], 5, False),
    ],
)
def test_what_does_not_fit_on_chip_is_left_to_pytorch(
    dtype: torch.dtype, head_dim: int, window: list[int], num_iters: int, expected: bool
) -> None:
    assert kernels.fits(torch.zeros(1, 2, 2, 2, 66, dtype=dtype), head_dim, window, num_iters) is expected


def test_what_does_not_fit_is_computed_all_the_same() -> None:
    x = torch.randn(1, 6, 6, 4, dtype=torch.float64)
    settings = (torch.rand(9, 1), 2, [3, 3], True, 5)
    assert torch.equal(mixing._mix_cuda(x, *settings), torch.ops.nnunetv2_factorizer.mix(x, *settings))


@pytest.fixture
def trials() -> Iterator[None]:
    """What was tried before is forgotten, and so is what a test tries."""
    trial.tried.clear()
    yield
    trial.tried.clear()


def watch(
    monkeypatch: pytest.MonkeyPatch, name: str, fails: Callable[[torch.Tensor], bool] = lambda x: False
) -> list[torch.Tensor]:
    """The volumes that `mix_windows` or `mix_windows_backward` will get; it raises for some of them."""
    volumes, works = [], getattr(windows, name)

    def watched(x: torch.Tensor, *arguments: Any) -> torch.Tensor:
        volumes.append(x)
        if fails(x):
            raise RuntimeError("out of resource: shared memory")
        return works(x, *arguments)

    monkeypatch.setattr(windows, name, watched)
    return volumes


def usable(x: torch.Tensor, *settings: Any) -> bool:
    return mixing_trial.usable(x, *settings, mixing.PLAIN)


def fallbacks(warnings: pytest.WarningsRecorder) -> list[str]:
    return [text for text in (str(warning.message) for warning in warnings) if "PyTorch is taken" in text]


@pytest.mark.usefixtures("trials")
@pytest.mark.parametrize("name", ["mix_windows", "mix_windows_backward"])
def test_where_one_direction_fails_pytorch_does_both(
    name: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    watch(monkeypatch, name, lambda x: True)
    x, grad = torch.randn(2, 1, 6, 6, 4, device=DEVICE)
    settings = (torch.rand(9, 1, device=DEVICE), 2, [3, 3], True, 5)
    for _ in range(2):
        assert torch.equal(mixing._mix_cuda(x, *settings), mixing._mix_rows(x, *settings))
        dx = mixing._mix_backward_cuda(grad, x, *settings)
        assert torch.equal(dx, mixing._mix_rows_backward(grad, x, *settings))
    [text] = fallbacks(recwarn)
    assert f"on {x.device} for windows of 3x3 voxels, head_dim 2 and float32 (out of resource" in text


@pytest.mark.usefixtures("trials")
@pytest.mark.parametrize("name", ["mix_windows", "mix_windows_backward"])
@pytest.mark.parametrize("factor", [1.01, torch.nan])
def test_kernels_with_other_numbers_than_pytorch_are_not_used(
    name: str, factor: float, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    works = getattr(windows, name)
    monkeypatch.setattr(windows, name, lambda *arguments: factor * works(*arguments))
    x = torch.randn(1, 6, 6, 4, device=DEVICE)
    settings = (torch.rand(9, 1, device=DEVICE), 2, [3, 3], True, 5)
    assert torch.equal(mixing._mix_cuda(x, *settings), mixing._mix_rows(x, *settings))
    [text] = fallbacks(recwarn)
    error = "1.0e-02" if factor == 1.01 else "nan"
    assert "their numbers are not PyTorch's: relative errors" in text
    assert error in text


@pytest.mark.usefixtures("trials")
def test_a_full_memory_is_no_reason_for_the_next_time(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    full, works = [True], windows.mix_windows

    def mix_windows(*arguments: Any) -> torch.Tensor:
        if full:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return works(*arguments)

    monkeypatch.setattr(windows, "mix_windows", mix_windows)
    x = torch.randn(1, 6, 6, 4, device=DEVICE)
    assert not usable(x, 2, [3, 3], True, 5)
    full.clear()
    assert usable(x, 2, [3, 3], True, 5)
    [text] = fallbacks(recwarn)
    assert "(CUDA out of memory)" in text


@pytest.mark.usefixtures("trials")
def test_gpus_without_tensor_cores_for_triton_are_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turing's: the compiler spills kilobytes there."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    setting = mixing_trial.usual_setting(torch.device("cuda"))
    assert mixing_trial.why_not(setting, mixing.PLAIN) == "they need a GPU of compute capability 8.0 or more"


@pytest.mark.usefixtures("trials")
def test_a_trial_leaves_the_random_numbers_as_they_are() -> None:
    state = torch.get_rng_state()
    assert usable(torch.zeros(1, 6, 6, 4, device=DEVICE), 2, [3, 3], True, 5)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.usefixtures("trials")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(
    ("window", "head_dim", "channels"), [([8, 8, 8], 8, 32), ([4, 4, 4], 2, 4), ([4, 8], 3, 9), ([5], 1, 64)]
)
def test_what_is_tried_is_the_tile_of_the_real_thing(
    window: list[int], head_dim: int, channels: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, backward = watch(monkeypatch, "mix_windows"), watch(monkeypatch, "mix_windows_backward")
    x = torch.zeros(2, *(3 * p for p in window), channels, dtype=dtype, device=DEVICE)
    assert usable(x, head_dim, window, True, 5)
    anew = {"C", *windows.SIZES}  # for these nothing is compiled anew
    for [tried] in (forward, backward):
        assert (tried.dtype, tried.device) == (x.dtype, x.device)
        assert tried.shape[1:-1] == tuple(2 * p for p in window)
        of_trial, of_volume = (_launches(volume, head_dim, window, True, 5)[1] for volume in (tried, x))
        for one, other in zip(of_trial, of_volume, strict=True):
            assert {key: one[key] for key in one.keys() - anew} == {key: other[key] for key in other.keys() - anew}
    assert usable(x, head_dim, window, True, 5)
    assert len(forward) == 1  # once is enough


@pytest.mark.usefixtures("trials")
def test_a_setting_that_fails_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    watch(monkeypatch, "mix_windows_backward", lambda x: x.dtype == torch.float16 and x.shape[1] == 8)
    half = torch.zeros(1, 8, 8, 4, device=DEVICE).half()
    for _ in range(2):
        assert usable(half, 4, [2, 2], True, 5)
        assert not usable(half, 4, [4, 4], True, 5)
        assert not usable(half, 2, [4, 4], True, 5)
        assert usable(half.float(), 4, [4, 4], True, 5)
    assert len(fallbacks(recwarn)) == 2


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_what_is_not_finite_is_not_hidden(wrong: float) -> None:
    x, grad = torch.rand(2, 1, 4, 2, device=DEVICE)
    x[0, 1, 0] = wrong
    settings = (torch.rand(4, 1, device=DEVICE), 2, [4], False, 5)
    assert torch.isnan(mix_windows(x, *settings)).all()
    assert torch.isnan(mix_windows_backward(grad, x, *settings)).all()
