"""What Triton's compiler makes of the kernels for GPUs; its interpreter accepts more, and tells nothing of that."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA build for Linux only")


def compiled(*arguments: str) -> list[dict[str, Any]]:
    """In a process where Triton does not interpret, as the test of this one does."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.factorization.compiled_kernels", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(kernels: list[dict[str, Any]], spilled: int) -> None:
    assert {kernel["kernel"] for kernel in kernels} == {"_forward_kernel", "_backward_kernel"}
    for kernel in kernels:
        assert kernel["spilled"] <= spilled, kernel
        assert kernel["shared"] <= 48 * 2**10, kernel  # more, and few programs share a multiprocessor
        assert kernel["specialised"] == ["C"], kernel


def instructions(kernels: list[dict[str, Any]], name: str) -> float:
    """For each number of the volume, both grids together."""
    return sum(kernel["instructions"] for kernel in kernels if kernel["shifted"] and kernel["kernel"] == name)


@pytest.mark.parametrize("capability", ["80", "86", "89", "90", "120"])
def test_what_nnunet_trains_with(capability: str) -> None:
    kernels = compiled("--capability", capability)
    check(kernels, spilled=40)
    assert all(kernel["spilled"] == 0 for kernel in kernels if kernel["shifted"])
    assert all(kernel["load_bits"] == 128 for kernel in kernels)
    assert instructions(kernels, "_forward_kernel") < 40
    assert instructions(kernels, "_backward_kernel") < 80


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("capability", ["80", "86", "89", "90", "120"])
def test_every_gpu_and_type(capability: str, dtype: str) -> None:
    for window in (["8", "8", "8"], ["5", "7", "5"], ["8", "8"]):
        heads = ["4", "8", "20", "32"] if dtype == "float16" else ["8"]
        kernels = compiled("--capability", capability, "--dtype", dtype, "--window", *window, "--head-dim", *heads)
        check(kernels, spilled=128)
