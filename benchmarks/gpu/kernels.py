"""The operators of mixing and of the layers of each voxel against float64, at extreme scales, twice, on zeros.

float64 is computed by PyTorch on every device. A relative error is one in the norm.
"""

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.items import Items
from benchmarks.gpu.layers import Layers
from benchmarks.gpu.layers import compare as compare_layers
from benchmarks.gpu.setting import GPU, HALF
from benchmarks.gpu.shapes import CASES, USUAL, Case
from benchmarks.measure import synchronise
from nnunetv2_factorizer.factorization import mixing
from nnunetv2_factorizer.factorization.kernels import mixing_trial, trial

TOLERANCE = {torch.float32: 1e-4, torch.float16: 2**-8, torch.bfloat16: 2**-5}
"""Of a half, eight times its rounding; of float32 what it loses on the way, the gradient more than the output."""

DTYPES = (HALF, *(dtype for dtype in TOLERANCE if dtype != HALF))
SCALES = (1e-30, 1e-20, 1e10, 1e18)

mix = torch.ops.nnunetv2_factorizer.mix
mix_backward = torch.ops.nnunetv2_factorizer.mix_backward


def run(items: Items) -> None:
    items.measure("registers", registers)  # before other kernels are compiled
    cases = CASES if GPU else CASES[9::12]
    for dtype in DTYPES:
        for case in cases:
            items.measure(f"{case}, {_name(dtype)}", partial(compare, case, dtype))
        items.measure(f"zeros, {_name(dtype)}", partial(zeros, dtype))
    for dtype in (d for d in DTYPES if d != torch.float32):
        for channels in (32, 64) if GPU else (16,):
            key = f"layers of each voxel, {channels} channels, {_name(dtype)}"
            items.measure(key, partial(compare_layers, channels, dtype, TOLERANCE[dtype]))
    small = USUAL._replace(size=(12, 9, 8))
    for dtype in (torch.float32, torch.bfloat16):
        for scale in SCALES:
            items.measure(f"times {scale:.0e}, {_name(dtype)}", partial(compare, small, dtype, scale))


def compare(case: Case, dtype: torch.dtype, scale: float = 1.0) -> dict[str, Any]:
    """Relative errors of output and gradient, and whether a second call gives the same bits."""
    (grad, x), settings = case.volumes(dtype), case.settings()
    x = x * scale
    y, dx = mix(x, *settings), mix_backward(grad, x, *settings)
    repeats = torch.equal(y, mix(x, *settings)) and torch.equal(dx, mix_backward(grad, x, *settings))
    errors = {
        "forward": relative_error(y, mix(x.double(), *settings)),
        "backward": relative_error(dx, mix_backward(grad.double(), x.double(), *settings)),
    }
    tolerance = TOLERANCE[dtype]
    return {
        **{name: float(f"{error:.3g}") for name, error in errors.items()},
        "tolerance": tolerance,
        "repeats": repeats,
        "triton": uses_triton(x, settings),
        "passes": repeats and all(error <= tolerance for error in errors.values()),  # NaN does not
    }


def zeros(dtype: torch.dtype) -> dict[str, Any]:
    """Output and gradient of a volume of zeros."""
    (grad, x), settings = USUAL.volumes(dtype), USUAL.settings()
    x = torch.zeros_like(x)
    y, dx = mix(x, *settings), mix_backward(grad, x, *settings)
    zero, finite = not y.any().item(), bool(dx.isfinite().all())
    return {"zero": zero, "finite": finite, "triton": uses_triton(x, settings), "passes": zero and finite}


def registers() -> dict[str, Any]:
    """Of each Triton kernel that the usual setting compiles: registers a thread, spills, and bytes of shared memory."""
    (grad, x), settings = USUAL.volumes(HALF), USUAL.settings()
    mix(x, *settings)
    mix_backward(grad, x, *settings)
    layers = Layers(x.shape[-1], 100, HALF)
    layers.forward()
    layers.backward()
    synchronise()
    kernels = [
        {
            "name": name,
            "registers": getattr(kernel, "n_regs", None),
            "spills": getattr(kernel, "n_spills", None),
            "shared_bytes": getattr(kernel.metadata, "shared", None),
            "warps": getattr(kernel.metadata, "num_warps", None),
        }
        for name, kernel in compiled_kernels()
    ]
    return {"kernels": kernels, "triton": uses_triton(x, settings), "tried": [str(why) for why in trial.tried.values()]}


def compiled_kernels() -> Iterator[tuple[str, Any]]:
    """What Triton has compiled for our kernels in this process, whatever else its caches hold in some version."""
    rooms = ("nnunetv2_factorizer.factorization.kernels.", "nnunetv2_factorizer.network.")
    modules = [module for name, module in sys.modules.items() if name.startswith(rooms)]
    named = [(name, value) for module in modules for name, value in vars(module).items()]
    named += [(name, getattr(value, "fn", None)) for name, value in named]  # behind a decorator such as autotune
    functions = {id(f): (name, f) for name, f in reversed(named) if hasattr(f, "device_caches")}
    for name, function in functions.values():
        for caches in function.device_caches.values():
            for cache in caches if isinstance(caches, tuple) else (caches,):
                if isinstance(cache, dict):
                    yield from ((name, kernel) for kernel in cache.values() if hasattr(kernel, "metadata"))


def uses_triton(x: Tensor, settings: tuple[Any, ...]) -> bool:
    """Whether fused kernels have done the work, and not PyTorch; asked after it."""
    _, head_dim, window, shifted, num_iters = settings
    return x.is_cuda and mixing_trial.usable(x, head_dim, window, shifted, num_iters, mixing.PLAIN)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual.double() - expected).norm() / expected.norm())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
