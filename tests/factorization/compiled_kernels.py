"""Prints what Triton's compiler makes of the kernels for GPUs, one line of JSON each; it needs no GPU.

python -m tests.factorization.compiled_kernels --capability 80 90 --dtype float16 --window 8 8 8 --head-dim 8
"""

import argparse
import json
import re
from itertools import product
from math import prod
from typing import Any

import torch

from nnunetv2_factorizer.factorization.kernels import windows
from tests.cross_compile import cross_compile, specialised

POINTERS = {
    windows._forward_kernel: {"x": "", "v0": "*fp32", "us": "*fp32", "out": ""},
    windows._backward_kernel: {
        "grad": "", "x": "", "v0": "*fp32", "us": "*fp32", "das": "*fp32", "ds": "*fp32", "dx": "",
    },
}  # fmt: skip
"""The kernels, and the types of their addresses where they are not of the volume's type."""

TYPES = {"float16": "*fp16", "bfloat16": "*bf16", "float32": "*fp32"}
INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ +)?([A-Z][\w.]+)(.*)")


def examine(kernel: Any, launch: dict[str, Any], dtype: str, capability: int) -> dict[str, Any]:
    """Registers, bytes that are spilled and shared by a program, widest load, instructions for each number.

    Instructions are those of all warps for 32 numbers, so those of a thread for one; a loop counts as often as it runs.
    """
    pointers = {name: kind or TYPES[dtype] for name, kind in POINTERS[kernel].items()}
    code = cross_compile(kernel, pointers, launch, capability)
    instructions = INSTRUCTION.findall(code.sass)
    window = [launch[f"P{axis}"] for axis in range(3)]
    numbers = prod(window) * launch["HEADS"] * launch["E"]
    return {
        "kernel": kernel.fn.__name__,
        "apply": launch["APPLY"],
        "capability": capability,
        "dtype": dtype,
        "window": window,
        "head_dim": launch["E"],
        "specialised": specialised(kernel, pointers),
        "registers": code.registers,
        "spilled": code.spilled,
        "shared": code.shared,
        "load_bits": max(_bits(name) for _, name, _ in instructions if name.startswith(("LDG.", "LDGSTS."))),
        "instructions": round(_executed(instructions, launch) * launch["num_warps"] * 32 / numbers, 1),
    }


def _bits(load: str) -> int:
    width = re.search(r"\.(64|128)$|\.(64|128)\.", load)
    return int(width[1] or width[2]) if width else 32


def _executed(instructions: list[tuple[str, str, str]], launch: dict[str, Any]) -> int:
    """How many a warp executes: the first loop runs over the tiles of a window, the second over its halves.

    That is so for windows of up to 8^3 voxels: a half of a larger one is more than a tile.
    """
    index = {int(address, 16): number for number, (address, _, _) in enumerate(instructions)}
    loops = []
    for number, (_, name, rest) in enumerate(instructions):
        target = re.search(r"0x([0-9a-f]+)", rest) if name.startswith("BRA") else None
        if target and index.get(int(target[1], 16), number) < number:
            loops.append(number + 1 - index[int(target[1], 16)])
    tiles = -(-prod(launch[f"P{axis}"] for axis in range(3)) // launch["TILE_N"])
    times = [tiles, launch["HALVES"] if launch["HALVES"] > 1 else tiles] if launch["APPLY"] else [tiles]
    return len(instructions) + sum(length * (runs - 1) for length, runs in zip(loops, times, strict=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", nargs="+", type=int, default=[80, 90])
    parser.add_argument("--dtype", nargs="+", choices=TYPES, default=["float16"])
    parser.add_argument("--window", nargs="+", type=int, default=[8, 8, 8])
    parser.add_argument("--head-dim", nargs="+", type=int, default=[8])
    args = parser.parse_args()
    for dtype, head_dim, capability in product(args.dtype, args.head_dim, args.capability):
        channels = max(32, 2 * head_dim)
        x = torch.empty(1, *(2 * p for p in args.window), channels - channels % head_dim, dtype=getattr(torch, dtype))
        for shifted in (True, False):
            for launch in windows._launches(x, head_dim, args.window, shifted, 5)[1]:
                for kernel in POINTERS:
                    print(json.dumps(examine(kernel, launch, dtype, capability) | {"shifted": shifted}), flush=True)


if __name__ == "__main__":
    main()
