"""Prints what Triton's compiler makes of the kernels for each voxel's layers, one line of JSON each; it needs no GPU.

python -m tests.network.compiled_voxelwise --capability 80 90 --dtype float16 --channels 32 64
"""

import argparse
import json
import re
from itertools import product
from typing import Any

import torch

from nnunetv2_factorizer.network import voxelwise_kernels as kernels
from tests.cross_compile import cross_compile, specialised
from tests.factorization.compiled_kernels import INSTRUCTION, TYPES, _bits

FLOAT32 = {"b", "b1", "b2", "dw", "db", "dw1", "db1", "dw2", "db2"}
VOLUMES_AND_WEIGHTS = {"grad", "x", "mixed", "w", "w1", "w2", "out", "dx", "dmixed"}


def launches(channels: int, hidden: int) -> list[tuple[Any, dict[str, Any]]]:
    """Kernels and their arguments, as for a volume `(N, C)`."""
    base = kernels._launch(torch.empty(1, channels))[1]
    w1 = torch.empty(hidden, channels)
    after = {"HIDDEN": hidden, "BLOCK": min(hidden, kernels.WEIGHT_BLOCK)}
    return [
        (kernels._before_kernel, base),
        (kernels._before_backward_kernel, base),
        (kernels._after_kernel, base | after),
        *((kernels._after_backward_kernel, base | more) for more in kernels.backward_launches(w1)),
    ]


def examine(kernel: Any, launch: dict[str, Any], dtype: str, capability: int) -> dict[str, Any]:
    """Registers, bytes that are spilled and shared by a program, widest load, instructions for each number.

    Instructions are those of all warps for 32 numbers of a volume, so those of a thread for one; what comes before and
    after the tiles is not counted.
    """
    names = [p.name for p in kernel.params]
    pointers = {name: "*fp32" if name in FLOAT32 else TYPES[dtype] for name in names
                if name in FLOAT32 | VOLUMES_AND_WEIGHTS}  # fmt: skip
    code = cross_compile(kernel, pointers, launch, capability)
    instructions = INSTRUCTION.findall(code.sass)
    hidden, block = launch.get("HIDDEN", 1), launch.get("BLOCK", 1)
    blocks = hidden // block
    in_loop, programs = (1, blocks) if launch.get("WEIGHTS") else (blocks, 1)
    executed = _executed(instructions, in_loop) * programs
    return {
        "kernel": kernel.fn.__name__,
        "channels": launch["C"],
        "capability": capability,
        "dtype": dtype,
        "specialised": specialised(kernel, pointers),
        "registers": code.registers,
        "spilled": code.spilled,
        "shared": code.shared,
        "load_bits": max(_bits(name) for _, name, _ in instructions if name.startswith(("LDG.", "LDGSTS."))),
        "instructions": round(executed * launch["num_warps"] * 32 / (launch["ROWS"] * launch["C"]), 1),
    }


def _executed(instructions: list[tuple[str, str, str]], times: int) -> int:
    """How many a warp executes for a tile; the inner loop over hidden channels runs so many times."""
    index = {int(address, 16): number for number, (address, _, _) in enumerate(instructions)}
    loops = []
    for number, (_, name, rest) in enumerate(instructions):
        target = re.search(r"0x([0-9a-f]+)", rest) if name.startswith("BRA") else None
        if target and index.get(int(target[1], 16), number) < number:
            loops.append(number + 1 - index[int(target[1], 16)])
    outer, *inner = sorted(loops, reverse=True)
    return outer + (times - 1) * (inner[0] if inner else 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", nargs="+", type=int, default=[80, 90])
    parser.add_argument("--dtype", nargs="+", choices=["float16", "bfloat16"], default=["float16"])
    parser.add_argument("--channels", nargs="+", type=int, default=[32, 64])
    parser.add_argument("--ratio", type=int, default=2)
    args = parser.parse_args()
    for dtype, channels, capability in product(args.dtype, args.channels, args.capability):
        for kernel, launch in launches(channels, args.ratio * channels):
            print(json.dumps(examine(kernel, launch, dtype, capability)), flush=True)


if __name__ == "__main__":
    main()
