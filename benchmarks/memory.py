"""The memory model of the planners against measured memory, on the CPU or on a GPU.

    python -m benchmarks.memory [--compiled] [--configuration NAME ...]

For each configuration: the bytes that autograd keeps, counted in a real forward pass, and the peak of real training
steps with AdamW, each in a process of its own (resident memory on a CPU, `max_memory_allocated` on a GPU). Compiled, it
is by Inductor, as nnU-Net does on a GPU.
"""

import argparse
import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from benchmarks.measure import device, in_own_process, machine, mib_kept, peak_mib
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.network import Factorizer
from nnunetv2_factorizer.network.memory import step_memory, training_step


@dataclass(frozen=True)
class Configuration:
    """A network as a plan describes it, and a batch."""

    patch_size: tuple[int, ...]
    batch_size: int
    features: tuple[int, ...]
    strides: tuple[Any, ...]
    choices: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    channels: int = 1
    classes: int = 3

    @property
    def input_shape(self) -> tuple[int, ...]:
        """`(B, C, *S)`."""
        return (self.batch_size, self.channels, *self.patch_size)

    def build(self) -> Factorizer:
        conv = nn.Conv2d if len(self.patch_size) == 2 else nn.Conv3d
        return Factorizer(
            self.channels, self.classes, len(self.features), self.features, conv, self.strides,
            patch_size=self.patch_size, deep_supervision=True, **self.choices,
        )  # fmt: skip


FLAT = (1, [1, 2, 2], [1, 2, 2], 2)
CONV = {"local_path": "depthwise"}
HYBRID = dict(FACTORIZER.variants["Hybrid"])
KEPT = {"recompute": False}
FOUR, FIVE = (32, 64, 128, 256), (32, 64, 128, 256, 512)
CONFIGURATIONS = {
    "3D": Configuration((64, 64, 64), 2, FIVE, (1, 2, 2, 2, 2), channels=4),
    "3D, 96^3": Configuration((96, 96, 96), 1, FIVE, (1, 2, 2, 2, 2), channels=4),
    "3D, hippocampus": Configuration((40, 56, 40), 8, FOUR, (1, 2, 2, 2)),
    "3D, Conv": Configuration((64, 64, 64), 2, FIVE, (1, 2, 2, 2, 2), CONV, channels=4),
    "3D, Hybrid": Configuration((64, 64, 64), 2, FIVE, (1, 2, 2, 2, 2), HYBRID, channels=4),
    "3D, Local": Configuration((64, 64, 64), 2, FIVE, (1, 2, 2, 2, 2), {"matricize": "local"}),
    "3D, Global": Configuration((64, 64, 64), 2, FIVE, (1, 2, 2, 2, 2), {"matricize": "global"}),
    "3D, not recomputed": Configuration((64, 64, 64), 1, FIVE, (1, 2, 2, 2, 2), KEPT, channels=4),
    "3D, Conv, not recomputed": Configuration((64, 64, 64), 1, FIVE, (1, 2, 2, 2, 2), CONV | KEPT, channels=4),
    "3D, rank 2": Configuration((48, 64, 48), 1, FOUR, (1, 2, 2, 2), {"rank": 2}),
    "3D, 20 classes": Configuration((64, 64, 64), 2, FOUR, (1, 2, 2, 2), classes=20),
    "3D, bf16": Configuration((64, 64, 64), 2, FIVE, (1, 2, 2, 2, 2), channels=4, dtype=torch.bfloat16),
    "3D, Conv, not recomputed, bf16": Configuration(
        (64, 64, 64), 2, FOUR, (1, 2, 2, 2), CONV | KEPT, dtype=torch.bfloat16
    ),
    "anisotropic": Configuration((16, 160, 160), 1, FOUR, FLAT, channels=2),
    "anisotropic, flat windows": Configuration((16, 160, 160), 1, FOUR, FLAT, {"window_size": [[1, 8, 8]] * 4}),
    "anisotropic, Conv, not recomputed": Configuration((16, 128, 128), 1, FOUR, FLAT, CONV | KEPT),
    "2D": Configuration((256, 256), 8, FIVE, (1, 2, 2, 2, 2)),
    "2D, Conv": Configuration((256, 256), 8, FIVE, (1, 2, 2, 2, 2), CONV, channels=3),
    "2D, Hybrid": Configuration((256, 256), 8, FIVE, (1, 2, 2, 2, 2), HYBRID, channels=3),
    "2D, not recomputed": Configuration((256, 256), 4, FIVE, (1, 2, 2, 2, 2), KEPT),
}  # fmt: skip


def measure(configuration: Configuration, compiled: bool = False) -> tuple[float, float]:
    """MiB kept and MiB at the peak of a step, in this process."""
    network, x = configuration.build().to(device()), torch.randn(configuration.input_shape, device=device())
    weights = sum(p.nbytes for p in network.parameters()) / 2**20
    if compiled:
        network.compile()
    peak = weights + peak_mib(lambda: _two_steps(network, x, configuration.dtype))
    enabled = configuration.dtype != torch.float32
    with torch.autocast(device().type, configuration.dtype if enabled else None, enabled=enabled):
        return mib_kept(network, x), peak


def _two_steps(network: nn.Module, x: torch.Tensor, dtype: torch.dtype) -> None:
    optimizer = torch.optim.AdamW(network.parameters())
    for _ in range(2):  # from the second step on, the optimiser's numbers are there
        optimizer.zero_grad(set_to_none=True)
        training_step(network, x, dtype)
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def predict(configuration: Configuration) -> tuple[float, float]:
    """The same by the memory model."""
    with torch.device("meta"):
        network = configuration.build()
    memory = step_memory(network, configuration.input_shape, configuration.dtype, device().type)
    return memory.kept / 2**20, memory.peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiled", action="store_true", help="compile the networks; minutes each")
    parser.add_argument("--configuration", nargs="+", choices=CONFIGURATIONS, default=list(CONFIGURATIONS))
    parser.add_argument("--measure", choices=CONFIGURATIONS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(CONFIGURATIONS[args.measure], args.compiled)))
        return
    print(f"{machine()}\n")
    print(
        "| configuration | patch, batch | kept, MiB: model | measured | ratio | peak, MiB: model | measured | ratio |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in args.configuration:
        configuration = CONFIGURATIONS[name]
        kept, peak = predict(configuration)
        compiled = ["--compiled"] if args.compiled else []
        measured_kept, measured_peak = in_own_process("benchmarks.memory", "--measure", name, *compiled)
        size = f"{'x'.join(map(str, configuration.patch_size))}, {configuration.batch_size}"
        print(
            f"| {name} | {size} | {kept:.0f} | {measured_kept:.0f} | {kept / measured_kept:.2f} "
            f"| {peak:.0f} | {measured_peak:.0f} | {peak / measured_peak:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
