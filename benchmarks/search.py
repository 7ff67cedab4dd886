"""What could help a Swin Factorizer on small patches and short runs: one change at a time, on the hippocampus data.

    python -m benchmarks.search train -o OUT [--variant NAME ...]   train and validate each variant not yet in OUT
    python -m benchmarks.search table -o OUT                        print the table of what OUT holds

Data, split, batch size, validation and environment are those of `benchmarks/hippocampus.py`; the training is shorter.
Only one at a time: all variants train in the same folder of nnU-Net's results.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name
from torch import nn

from benchmarks.hippocampus import CONFIGURATION, prepare, train_and_validate
from benchmarks.measure import device
from nnunetv2_factorizer.families import FACTORIZER
from nnunetv2_factorizer.network import Factorizer, FactorizerBlock
from nnunetv2_factorizer.network.layers import PointwiseLinear
from nnunetv2_factorizer.training import FactorizerTrainer
from nnunetv2_factorizer.training.schedule import warmup_cosine


@dataclass(frozen=True)
class Variant:
    """One change: arguments of the network, its initial weights, the peak of the learning rate, or the warm-up."""

    choices: dict[str, Any] = field(default_factory=dict)
    initialise: Callable[[Factorizer], None] | None = None
    initial_lr: float | None = None
    warmup_share: float | None = None


def truncated_normal(network: Factorizer) -> None:
    """As Swin transformers start: weights of the pointwise layers with a deviation of 0.02, no bias."""
    for module in network.modules():
        if isinstance(module, PointwiseLinear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def residual(scale: float) -> Callable[[Factorizer], None]:
    """The last layer of both residual branches scaled at the start, as `scale` in front of the branch would."""

    def initialise(network: Factorizer) -> None:
        with torch.no_grad():
            for block in network.modules():
                if isinstance(block, FactorizerBlock):
                    last = block.mlp[3] if block.mlp is not None else None
                    for layer in (block.mixer.out_proj, last):
                        if isinstance(layer, PointwiseLinear):
                            layer.weight.mul_(scale)

    return initialise


VARIANTS = {
    "paper": Variant(),
    "window 4": Variant({"window_size": 4}),
    "head 4": Variant({"head_dim": 4}),
    "head 16": Variant({"head_dim": 16}),
    "window 4, head 4": Variant({"window_size": 4, "head_dim": 4}),
    "window 2, head 4": Variant({"window_size": 2, "head_dim": 4}),
    "truncated normal": Variant(initialise=truncated_normal),
    "residual 0.1": Variant(initialise=residual(0.1)),
    "residual 3": Variant(initialise=residual(3.0)),
    "peak 3e-3": Variant(initial_lr=3e-3),
    "warm-up 5 %": Variant(warmup_share=0.05),
    "no position embedding": Variant({"position_embedding": False}),
}


def result_file(out: Path, name: str, iterations: int, seed: int) -> Path:
    return out / f"{name.replace(' ', '_').replace('%', 'percent')}_{iterations}_seed{seed}.json"


def train(name: str, dataset_id: int, iterations: int, seed: int, out: Path) -> None:
    """Trains and validates one variant in this process and writes its file into `out`."""
    variant = VARIANTS[name]
    folder = Path(nnUNet_preprocessed) / maybe_convert_to_dataset_name(dataset_id)
    plans = load_json(str(folder / f"{prepare(dataset_id, 2)}.json"))
    plans["continue_training"] = False  # by this key nnU-Net hands its flag to the trainer

    class nnUNetTrainerSearch(FactorizerTrainer):
        choices: ClassVar[Mapping[str, Any]] = {**FACTORIZER.variants["Swin"], **variant.choices}
        initial_lr = variant.initial_lr

        def initialize(self) -> None:
            super().initialize()
            if variant.initialise is not None:
                variant.initialise(self.network)

        def multiplier(self, step: int) -> float:
            warmup = None if variant.warmup_share is None else round(variant.warmup_share * self.total_steps)
            return warmup_cosine(step, self.total_steps, warmup)

    trainer = nnUNetTrainerSearch(plans, CONFIGURATION, 0, load_json(str(folder / "dataset.json")), device())
    result = {"variant": name, "iterations": iterations} | train_and_validate(trainer, iterations, seed)
    result_file(out, name, iterations, seed).write_text(json.dumps(result, indent=2))


def print_table(out: Path) -> None:
    results = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("*.json")]
    print("| variant | iterations | Dice label 1 | Dice label 2 | mean Dice |\n| --- | --- | --- | --- | --- |")
    for r in sorted(results, key=lambda r: (r["iterations"], -r["mean_dice"])):
        dice = " | ".join(f"{value:.3f}" for value in r["dice"].values())
        print(f"| {r['variant']} | {r['iterations']} | {dice} | {r['mean_dice']:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "train-one", "table"))
    parser.add_argument("-o", type=Path, required=True, help="folder of the results, one JSON file a variant")
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="default: all")
    parser.add_argument("-d", type=int, default=4, help="dataset id, default: 4")
    parser.add_argument("--iterations", type=int, default=250, help="default: 250")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    args = parser.parse_args()
    if args.action == "table":
        print_table(args.o)
        return
    args.o.mkdir(parents=True, exist_ok=True)
    if args.action == "train-one":
        train(args.variant[0], args.d, args.iterations, args.seed, args.o)
        return
    for name in args.variant:
        if not result_file(args.o, name, args.iterations, args.seed).exists():
            arguments = ["train-one", "-o", str(args.o), "-d", str(args.d), "--variant", name]
            arguments += ["--iterations", str(args.iterations), "--seed", str(args.seed)]
            # A process each: nnU-Net keeps its log and its data loaders in the one that trains.
            subprocess.run([sys.executable, "-m", "benchmarks.search", *arguments], check=True)


if __name__ == "__main__":
    main()
