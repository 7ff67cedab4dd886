"""What the kernels for each voxel's layers become on GPUs, and the bytes that they move: neither may grow."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA build for Linux only")

from benchmarks.voxelwise_bytes import WIDTHS, of_eager, of_kernels

INSTRUCTIONS = {
    "_before_kernel": 17, "_before_backward_kernel": 30, "_after_kernel": 80, "_after_backward_kernel": 105,
}  # fmt: skip
"""For each number of a volume, at most; those of 64 channels have two launches of the last."""


def compiled(*arguments: str) -> list[dict[str, Any]]:
    """In a process where Triton does not interpret, as the test of this one does."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.network.compiled_voxelwise", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(kernels: list[dict[str, Any]], spilled: int) -> None:
    assert {kernel["kernel"] for kernel in kernels} == set(INSTRUCTIONS)
    for kernel in kernels:
        assert kernel["spilled"] <= spilled, kernel
        assert kernel["shared"] <= 64 * 2**10, kernel
        assert kernel["load_bits"] == 128, kernel
        assert kernel["specialised"] == [], kernel  # no number of rows is compiled for anew
        assert kernel["instructions"] < INSTRUCTIONS[kernel["kernel"]], kernel


@pytest.mark.parametrize("capability", ["80", "90"])
def test_what_nnunet_trains_with(capability: str) -> None:
    check(compiled("--capability", capability, "--channels", "32"), spilled=32)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("capability", ["80", "86", "89", "90", "120"])
def test_every_gpu_and_type(capability: str, dtype: str) -> None:
    check(compiled("--capability", capability, "--dtype", dtype, "--channels", "16", "32", "64"), spilled=128)


def test_bytes_are_a_small_part_of_what_pytorch_moves() -> None:
    """A number of a volume in half precision has two, so that `x`, `mixed` and `z` once are six."""
    counts = {channels: of_kernels(channels, rows) for channels, rows in WIDTHS.items()}
    assert counts[32] == (10, pytest.approx(16, abs=0.5))
    assert counts[64] == (10, pytest.approx(28, abs=2))
    assert counts[128] is None
    for channels in (32, 64):
        assert 5 * sum(counts[channels]) < sum(of_eager(channels, WIDTHS[channels]))
