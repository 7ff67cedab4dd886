"""Whether kernels of ours run on a device and give what PyTorch gives: tried once for each setting."""

import warnings
from collections.abc import Callable, Hashable, Iterable
from importlib.util import find_spec

import torch
from torch import Tensor

TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}
"""Largest relative error of a trial, in the norm: what rounding accounts for, several times over."""

TENSOR_CORES = (8, 0)
"""The compute capability from which on Triton multiplies matrices on tensor cores: Ampere's."""

Results = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Does some work both ways: results of the kernels, forward and backward, each with the one of PyTorch."""

tried: dict[Hashable, str | None] = {}
"""Why the kernels cannot be used for a setting; None where they can."""


def usable(setting: Hashable, results: Results, dtype: torch.dtype, work: str, where: str) -> bool:
    """Whether kernels do their work in a setting; warns once for each where they do not.

    Args:
        setting: what they are compiled for, device included; also which of the kernels they are.
        results: of a small piece of work in this setting.
        dtype: of what is rounded, by which errors are judged.
        work, where: what they do and the setting in words, for the warning.
    """
    if setting in tried:
        return tried[setting] is None
    reason = why_not(setting, results, dtype)
    if reason is not None:
        warnings.warn(
            f"Triton's kernels for {work} do not run {where} ({reason}); "
            "the slower path in PyTorch is taken for these, forward and backward.",
            stacklevel=2,
        )
    return reason is None


def why_not(setting: Hashable, results: Results, dtype: torch.dtype) -> str | None:
    """What goes wrong when kernels do a small piece of work; None if nothing does.

    They are waited for, and compared with PyTorch in both directions: whether a tile fits into registers and shared
    memory, and whether driver and compiler are right, is known only then. What a full memory prevents is tried again.
    """
    if find_spec("triton") is None:
        tried[setting] = "Triton is not installed"
        return tried[setting]
    try:
        errors = [_relative_error(actual, expected) for actual, expected in results()]
    except torch.OutOfMemoryError as error:
        return str(error)
    except Exception as error:  # Triton compiles here: what can go wrong depends on driver, GPU and C compiler.
        tried[setting] = " ".join(str(error).split()) or type(error).__name__
        return tried[setting]
    tried[setting] = None
    if not all(error <= TOLERANCE[dtype] for error in errors):  # nor where one is NaN
        numbers = ", ".join(f"{error:.1e}" for error in errors)
        tried[setting] = f"their numbers are not PyTorch's: relative errors {numbers}"
    return tried[setting]


def require_tensor_cores(device: torch.device) -> None:
    """For `results`.

    Raises:
        RuntimeError: the GPU is older than those on whose tensor cores Triton multiplies matrices.
    """
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < TENSOR_CORES:
        raise RuntimeError(f"they need a GPU of compute capability {'.'.join(map(str, TENSOR_CORES))} or more")


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    """Waits for the device."""
    return float((actual.float() - expected.float()).norm() / expected.float().norm())
