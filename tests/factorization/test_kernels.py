"""The GPU kernels against the CPU's version: on a GPU where there is one, else through Triton's interpreter."""

import os
import subprocess
import sys
from math import prod

import pytest
import torch

pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA build for Linux only")

from nnunetv2_factorizer.factorization import kernels, mixing
from nnunetv2_factorizer.factorization.kernels.windows import _launches, mix_windows, mix_windows_backward
from tests.conftest import relative_error

pytestmark = pytest.mark.no_cover  # Triton's interpreter takes more than twice as long where lines are counted

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("size", "window", "channels", "head_dim", "shifted", "num_iters"),
    [
        ((8, 8, 8), (4, 4, 4), 8, 4, True, 5),
        ((8, 8, 8), (4, 4, 4), 8, 4, False, 5),
        ((8, 8, 8), (8, 8, 8), 8, 8, True, 5),
        ((5, 7, 6), (4, 3, 6), 6, 3, True, 3),  # padding, and sides that are no powers of two
        ((2, 9, 8), (1, 8, 8), 8, 2, True, 1),
        ((7, 10), (4, 4), 4, 2, True, 2),
        ((13,), (4,), 5, 1, True, 2),
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
    y = mixing._mix_cuda(x.to(DEVICE), *on_device).cpu()
    assert y.dtype == dtype
    assert relative_error(y, torch.ops.nnunetv2_factorizer.mix(x, *settings)) < tolerance
    dx = mixing._mix_backward_cuda(grad.to(DEVICE), x.to(DEVICE), *on_device).cpu()
    assert dx.dtype == dtype
    assert relative_error(dx, torch.ops.nnunetv2_factorizer.mix_backward(grad, x, *settings)) < 10 * tolerance


def test_accumulates_in_float32() -> None:
    """`X X^T` of this window is beyond float16."""
    x = (200 * torch.rand(1, 8, 8, 8, 4)).half()
    settings = (torch.rand(512, 1, device=DEVICE), 4, [8, 8, 8], True, 5)
    y = mix_windows(x.to(DEVICE), *settings).cpu()
    dx = mix_windows_backward(torch.ones_like(x).to(DEVICE), x.to(DEVICE), *settings).cpu()
    assert torch.isfinite(y).all()
    assert torch.isfinite(dx).all()
    assert relative_error(y, torch.ops.nnunetv2_factorizer.mix(x, settings[0].cpu(), *settings[1:])) < 1e-2


@pytest.mark.parametrize(
    ("dtype", "head_dim", "window", "expected"),
    [
        (torch.float16, 8, [8, 8, 8], True),
        (torch.float32, 32, [8, 8, 8], True),
        (torch.float32, 64, [8, 8, 8], False),
        (torch.float32, 8, [128, 128, 128], False),
        (torch.float64, 8, [8, 8, 8], False),
    ],
)
def test_what_does_not_fit_on_chip_is_left_to_pytorch(
    dtype: torch.dtype, head_dim: int, window: list[int], expected: bool
) -> None:
    assert kernels.fits(torch.zeros(1, 2, 2, 2, 64, dtype=dtype), head_dim, window) is expected


def test_what_does_not_fit_is_computed_all_the_same() -> None:
    x = torch.randn(1, 6, 6, 4, dtype=torch.float64)
    settings = (torch.rand(9, 1), 2, [3, 3], True, 5)
    assert torch.equal(mixing._mix_cuda(x, *settings), torch.ops.nnunetv2_factorizer.mix(x, *settings))


def test_a_gpu_on_which_triton_fails_is_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no C compiler")

    monkeypatch.setattr("nnunetv2_factorizer.factorization.kernels.windows.mix_windows", fail)
    kernels.available.cache_clear()
    with pytest.warns(UserWarning, match="no C compiler.*PyTorch is taken"):
        assert not kernels.available(torch.device("cpu"))
    assert not kernels.available(torch.device("cpu"))
    kernels.available.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("window", "head_dim"), [([16, 16, 16], 2), ([128, 128], 1), ([8, 8, 8], 8), ([2, 2], 4)])
def test_a_program_takes_no_more_heads_than_fit(window: list[int], head_dim: int, dtype: torch.dtype) -> None:
    x = torch.zeros(1, *(2 * p for p in window), 32, dtype=dtype)
    for _, launch in _launches(x, torch.ones(prod(window), 1), head_dim, window, True, 5):
        assert launch["TILE_N"] * launch["TILE_E"] * launch["HEADS"] <= kernels.MAX_TILE


def test_nan_is_not_hidden() -> None:
    x = torch.full((1, 4, 2), torch.nan, device=DEVICE)
    assert torch.isnan(mix_windows(x, torch.rand(4, 1, device=DEVICE), 2, [4], False, 5)).all()


COMPILE = """
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from nnunetv2_factorizer.factorization.kernels import windows

x = torch.zeros(1, 16, 16, 16, 16, dtype=torch.float16)
[(_, launch), _] = windows._launches(x, torch.ones(512, 1), 8, [8, 8, 8], True, 5)
warps = launch.pop("num_warps")
for kernel, pointers in ((windows._forward_kernel, 3), (windows._backward_kernel, 4)):
    signature, constants = {}, {}
    for index, parameter in enumerate(kernel.params):
        if index < pointers:
            signature[parameter.name] = "*fp32" if parameter.name == "v0" else "*fp16"
        elif parameter.is_constexpr:
            signature[parameter.name] = "constexpr"
            constants[parameter.name] = launch[parameter.name]
        else:
            signature[parameter.name] = "i32"
    source = ASTSource(kernel, signature, constants)
    assert triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps}).asm["ptx"]
"""


def test_kernels_compile_for_a_gpu() -> None:
    """The interpreter accepts more than the compiler does; that one needs no GPU."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
