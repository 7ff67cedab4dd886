"""What a Factorizer costs beside the U-Net that nnU-Net plans for the same patch, and beside its plain formulation.

    python -m benchmarks.cost [-o cost.json] [--size 128] [--rounds 5]

Batch 1, 4 -> 3 channels, one cubic patch; the Factorizers have five stages of 32 to 512 channels, windows of 8, heads
of 8, T = 5; the U-Net is `PlainConvUNet` with the six stages of 32 to 320 channels that nnU-Net plans for 128^3.
Candidates take turns; medians. Prints each ratio with what was asked of it, and writes all numbers as JSON.
On a GPU the networks run under fp16 autocast, all but the plain one compiled, and the kernels are compared with a copy
of the same bytes.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import (
    device,
    forward,
    in_own_process,
    machine,
    median_seconds,
    mib_kept,
    peak_mib,
    peak_of_step,
    step,
)
from benchmarks.networks import factorizer, plain_unet
from benchmarks.reference import ReferenceFactorizer, WrappedNMF
from nnunetv2_factorizer.factorization import mix

FEATURES = (32, 64, 128, 256, 512)
FEATURES_OF_UNET = (32, 64, 128, 256, 320, 320)


def build(name: str, size: int, deep_supervision: bool = False) -> nn.Module:
    """A network by the name that the tables give it."""
    if name == "plain":
        return ReferenceFactorizer(4, 3, FEATURES, [size] * 3).to(device())
    if name == "U-Net":
        network = plain_unet(4, FEATURES_OF_UNET, deep_supervision)
    else:
        network = factorizer(name, 4, FEATURES, [size] * 3, deep_supervision)
    network.to(device())
    if device().type == "cuda":
        network.compile()
    return network


def image(size: int) -> Tensor:
    return torch.randn(1, 4, size, size, size, device=device())


def mixing_layer(size: int, rounds: int) -> dict[str, float]:
    """Seconds of matricize .. dematricize with two grids, forward and backward, on 32 channels."""
    plain = WrappedNMF(32, (size,) * 3, "swin", 8, 8, 5).to(device())
    x = torch.randn(1, 32, size, size, size, device=device())
    grad = torch.randn_like(x)
    v0: Any = plain.factorize.init.v0

    def ours(x: Tensor) -> Tensor:
        return mix(x, v0, head_dim=8, window=(8, 8, 8), shifted=True, num_iters=5)

    def run(function: Callable[[Tensor], Tensor], memory_format: torch.memory_format) -> Callable[[], None]:
        leaf, upstream = (t.contiguous(memory_format=memory_format) for t in (x, grad))

        def forward_and_backward() -> None:
            function(leaf.detach().requires_grad_()).backward(upstream)

        return forward_and_backward

    candidates = {"plain": run(plain.mix, torch.contiguous_format), "ours": run(ours, torch.channels_last_3d)}
    return median_seconds(candidates, rounds)


def network_times(size: int, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of a forward pass, and of a training step, of the networks at `size` and of Swin at half of it."""
    x, half = image(size), image(size // 2)
    names = ["plain", "U-Net", "Swin", "Local", "Global", "Conv"]
    networks = {name: (build(name, size), x) for name in names} | {"Swin, half": (build("Swin", size // 2), half)}
    forwards = {name: partial(forward, *arguments) for name, arguments in networks.items()}
    forward_times = median_seconds(forwards, rounds, warm_up=0 if device().type == "cpu" else 3)
    networks = {name: (build(name, size, deep_supervision=True), x) for name in ("U-Net", "Swin", "Conv")}
    networks["Swin, half"] = (build("Swin", size // 2, deep_supervision=True), half)
    steps = {name: partial(step, *arguments) for name, arguments in networks.items()}
    return forward_times, median_seconds(steps, rounds, warm_up=0 if device().type == "cpu" else 3)


def memory(name: str, what: str, size: int) -> float:
    """MiB in this process: `kept` for the backward pass, `inference` or `step` at their peak."""
    network, x = build(name, size, deep_supervision=what != "inference"), image(size)
    if what == "kept":
        return mib_kept(network, x)
    return peak_mib(lambda: forward(network, x)) if what == "inference" else peak_of_step(network, x)


def kernel_bandwidth(size: int) -> dict[str, float]:
    """Of the fused kernels on a GPU in fp16, as a share of a device copy: bytes of the volumes read and written."""
    from triton.testing import do_bench  # a launch is shorter than a look at the clock

    x = torch.randn(1, size, size, size, 32, device="cuda", dtype=torch.float16)
    grad, out = torch.randn_like(x), torch.empty_like(x)
    settings = (torch.rand(512, 1, device="cuda"), 8, [8, 8, 8], False, 5)
    seconds = {
        "copy": do_bench(lambda: out.copy_(x)),
        "forward": do_bench(lambda: torch.ops.nnunetv2_factorizer.mix(x, *settings)),
        "backward": do_bench(lambda: torch.ops.nnunetv2_factorizer.mix_backward(grad, x, *settings)),
    }
    volumes = {"copy": 2, "forward": 2, "backward": 3}
    rate = {name: volumes[name] / seconds[name] for name in seconds}
    return {name: rate[name] / rate["copy"] for name in ("forward", "backward")}


def ratios(
    mixing: dict[str, float], forwards: dict[str, float], steps: dict[str, float], mib: dict[str, float]
) -> list[tuple[str, float, str]]:
    """What is compared, its value, and what was asked of it."""
    return [
        ("mixing layer, forward + backward: plain / ours", mixing["plain"] / mixing["ours"], ">= 5"),
        ("Swin forward: plain / ours", forwards["plain"] / forwards["Swin"], ">= 4"),
        ("Swin forward: ours / U-Net", forwards["Swin"] / forwards["U-Net"], "<= 0.6"),
        ("Swin training step: ours / U-Net", steps["Swin"] / steps["U-Net"], "<= 1.0"),
        ("Swin, kept for the backward pass: ours / U-Net", mib["Swin kept"] / mib["U-Net kept"], "<= 1.0"),
        ("Swin, peak of inference: ours / U-Net", mib["Swin inference"] / mib["U-Net inference"], "<= 1.0"),
        ("Swin, peak of a training step: ours / U-Net", mib["Swin step"] / mib["U-Net step"], ""),
        ("Local forward / Swin forward", forwards["Local"] / forwards["Swin"], "<= 1.0"),
        ("Global forward / Swin forward", forwards["Global"] / forwards["Swin"], "<= 1.0"),
        ("Conv forward: ours / U-Net", forwards["Conv"] / forwards["U-Net"], "<= 0.7"),
        ("Conv training step: ours / U-Net", steps["Conv"] / steps["U-Net"], "<= 1.1"),
        ("Conv, kept for the backward pass: ours / U-Net", mib["Conv kept"] / mib["U-Net kept"], ""),
        ("Swin forward, growth at 8 times the voxels", forwards["Swin"] / forwards["Swin, half"], "<= 8.5"),
        ("Swin training step, growth at 8 times the voxels", steps["Swin"] / steps["Swin, half"], "<= 8.5"),
        ("Swin, kept, growth at 8 times the voxels", mib["Swin kept"] / mib["Swin kept, half"], "<= 8.5"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", type=Path, help="also write all numbers to this JSON file")
    parser.add_argument("--size", type=int, default=128, help="voxels a side of the patch, default: 128")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--memory-of", nargs=2, metavar=("NAME", "WHAT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        name, what = args.memory_of
        print(json.dumps(memory(name, what, args.size)))
        return

    def measured_mib(name: str, what: str, size: int = args.size) -> float:
        return in_own_process("benchmarks.cost", "--memory-of", name, what, "--size", str(size))

    print(f"{machine()}\npatch {args.size}^3, batch 1, median of {args.rounds}\n", flush=True)
    mixing = mixing_layer(args.size, args.rounds)
    forwards, steps = network_times(args.size, args.rounds)
    mib = {f"{n} {w}": measured_mib(n, w) for n in ("U-Net", "Swin", "Conv") for w in ("kept", "inference", "step")}
    mib["Swin, not recomputed kept"] = measured_mib("Swin, not recomputed", "kept")
    mib["Swin kept, half"] = measured_mib("Swin", "kept", args.size // 2)
    table = ratios(mixing, forwards, steps, mib)
    if device().type == "cuda":
        shares = kernel_bandwidth(args.size)
        table += [(f"kernel, {n}: share of a device copy's bytes per second", s, ">= 0.7") for n, s in shares.items()]

    print("| | measured | asked |\n| --- | --- | --- |")
    for name, value, asked in table:
        print(f"| {name} | {value:.2f} | {asked} |")
    details = {"mixing layer, s": mixing, "forward, s": forwards, "training step, s": steps, "memory, MiB": mib}
    for title, values in details.items():
        print(f"\n{title}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))
    if args.o:
        named = {name: {"measured": value, "asked": asked} for name, value, asked in table}
        args.o.write_text(json.dumps({"machine": machine(), "ratios": named} | details, indent=2))


if __name__ == "__main__":
    main()
