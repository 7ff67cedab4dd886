"""The GPU kernels against the CPU's version: on a GPU where there is one, else through Triton's interpreter."""

from math import prod

import pytest
import torch

pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA build for Linux only")

from nnunetv2_factorizer.factorization import kernels
from nnunetv2_factorizer.factorization.kernels.windows import mix_windows, mix_windows_backward
from tests.conftest import relative_error

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
    y = mix_windows(x.to(DEVICE), *on_device).cpu()
    assert y.dtype == dtype
    assert relative_error(y, torch.ops.nnunetv2_factorizer.mix(x, *settings)) < tolerance
    dx = mix_windows_backward(grad.to(DEVICE), x.to(DEVICE), *on_device).cpu()
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
