"""Triton's compiler for a GPU that need not be there, in a process in which Triton does not interpret kernels."""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"


class Code(NamedTuple):
    """What a kernel became."""

    registers: int
    """Of a thread."""
    spilled: int
    """Bytes that a thread has no registers for."""
    shared: int
    """Bytes of a program."""
    sass: str
    """The machine code, as text."""


def cross_compile(kernel: Any, pointers: Mapping[str, str], launch: Mapping[str, Any], capability: int) -> Code:
    """A kernel for a GPU of this compute capability, such as 90.

    Args:
        kernel: with `triton.jit`.
        pointers: the types of arguments that are addresses, such as `"*fp16"`; all are multiples of 16.
        launch: the other arguments by name, as for a launch; None for an address that is not given.
        capability: ten times its number.
    """
    constants = {p.name: launch[p.name] for p in kernel.params if p.is_constexpr or launch.get(p.name, 0) is None}
    signature = {p.name: "constexpr" if p.name in constants else pointers.get(p.name, "i32") for p in kernel.params}
    aligned = {*pointers, *(name for name in specialised(kernel, pointers) if launch[name] and launch[name] % 16 == 0)}
    attributes = {(p.num,): [["tt.divisibility", 16]] for p in kernel.params if p.name in aligned}
    source = ASTSource(kernel, signature, constants, attributes)
    options = {"num_warps": launch["num_warps"]}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage, sass = (_cuobjdump(option, file.name) for option in ("-res-usage", "-sass"))
    registers, stack, local = (int(re.search(rf"{name}:(\d+)", usage)[1]) for name in ("REG", "STACK", "LOCAL"))
    return Code(registers, stack + local, compiled.metadata.shared, sass)


def specialised(kernel: Any, pointers: Mapping[str, str]) -> list[str]:
    """Arguments for some of whose values a kernel is compiled anew, such as multiples of 16."""
    others = [p for p in kernel.params if not p.is_constexpr and not p.do_not_specialize]
    return [p.name for p in others if p.name not in pointers]


def _cuobjdump(option: str, file: str) -> str:
    return subprocess.run([CUOBJDUMP, option, file], check=True, capture_output=True, text=True).stdout
